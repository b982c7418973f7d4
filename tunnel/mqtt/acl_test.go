//go:build mosquitto

package mqtttunnel

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// sampled is a Mosquitto with our sample configuration, and what its clients hear.
type sampled struct {
	*testing.T
	*sample
	bases, controller string // the addresses of its listeners

	mu    sync.Mutex
	heard map[string][]string // topics, by client
}

// startSampled starts one for the bases b1 and b2.
func startSampled(t *testing.T) *sampled {
	t.Helper()
	m := startSample(t, "b1", "b2")
	return &sampled{T: t, sample: m, bases: m.Address(), controller: m.forReplicas(), heard: map[string][]string{}}
}

func within10s(t paho.Token) error {
	if !t.WaitTimeout(10 * time.Second) {
		return fmt.Errorf("no answer in 10 s")
	}
	return t.Error()
}

// connect connects a base's client; err says that the broker refuses.
func (s *sampled) connect(address, clientID, user, password string) (paho.Client, error) {
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + address).SetClientID(clientID).SetUsername(user).SetPassword(password).
		SetAutoReconnect(false).SetConnectRetry(false).
		SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.heard[clientID] = append(s.heard[clientID], m.Topic())
		}))
	return c, within10s(c.Connect())
}

// base connects a base as a real one does, hearing whatever it is given of some filters.
func (s *sampled) base(identity string, filters ...string) paho.Client {
	s.Helper()
	c, err := s.connect(s.bases, "sim@@@"+identity, identity, "of "+identity)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { c.Disconnect(0) })
	want := map[string]byte{}
	for _, f := range filters {
		want[f] = qos
	}
	if err := within10s(c.SubscribeMultiple(want, nil)); err != nil {
		s.Fatal(err)
	}
	return c
}

func (s *sampled) say(c paho.Client, topic, payload string) {
	s.Helper()
	if err := within10s(c.Publish(topic, qos, false, payload)); err != nil {
		s.Fatal(err)
	}
}

func (s *sampled) hears(clientID string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.heard[clientID])
}

func (s *sampled) tunnel(clientID string, w *wills, meter tunnel.Meter) *Tunnel {
	s.Helper()
	return meteredTunnel(s.T, s.controller, meter, func(c *Config) {
		c.ClientID, c.Username, c.Password = clientID, "module-controller", "of module-controller"
		c.ProbeEvery, c.Will, c.Gone = time.Minute, w.of(clientID), w.Gone // a slow machine ends no connection
	})
}

func heartOf(identity, name string) string {
	return fmt.Sprintf(`{"publishTimestamp":1,"data":{"baseMetadata":{"identity":%q,"name":%q},"localIP":"10.0.0.1","localHostName":"h","port":0}}`, identity, name)
}

// runOn runs a tunnel until the test ends.
func runOn(t *testing.T, tun *Tunnel, sink *tunneltest.RecordingSink) {
	t.Helper()
	tunneltest.During(t, func(ctx context.Context) error { return tun.Run(ctx, sink) })
	tunneltest.Await(t, "link up", func() bool { return sink.Recorded().Up() })
}

const list = `{"publishTimestamp":1,"data":[]}`

var ask = tunnel.Command{Verb: tunnel.ListModules}

// With the sample configuration a base is heard and commanded, and a replica may all that
// it needs: commands, probes, its last will, and to evict another.
func TestTheSampleACLsPermitWhatIsNeeded(t *testing.T) {
	s := startSampled(t)
	w, dropped, sink := newWills(), newCounts(), &tunneltest.RecordingSink{}
	tun := s.tunnel("module-controller-a", w, dropped)
	runOn(t, tun, sink)
	b1 := s.base("b1", "koupleless_default/b1/+", "koupleless_default/b1/base/baseline")
	base := tunnel.BaseID{Env: "default", Identity: "b1"}
	tun.Follow(tunnel.Heartbeat{Base: base})
	tunneltest.Await(t, "followed", tun.hears(1))
	s.say(b1, "koupleless_default/b1/base/heart", heartOf("b1", "shop"))
	s.say(b1, "koupleless_default/b1/base/simpleBiz", list)
	tunneltest.Await(t, "heartbeat and list", func() bool { return sink.Recorded().Lists(base) == 1 && len(sink.Recorded().Beats) == 1 })
	for _, c := range []tunnel.Command{ask, {Verb: tunnel.ReadHealth},
		{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "m", Version: "1"}, URL: "http://repo/m.jar"},
		{Verb: tunnel.UninstallModule, Module: tunnel.ModuleKey{Name: "m", Version: "1"}}, {Verb: tunnel.AnswerBaseline}} {
		if err := tun.Do(t.Context(), base, c); err != nil {
			t.Fatal(err)
		}
	}
	tunneltest.Await(t, "five commands", func() bool { return len(s.hears("sim@@@b1")) == 5 })

	other, otherSink := s.tunnel("module-controller-b", w, tunnel.NoMeter), &tunneltest.RecordingSink{}
	runOn(t, other, otherSink)
	if err := tun.Evict(t.Context(), "module-controller-b"); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "the broker tells of it", func() bool { return slices.Contains(w.hints(), "module-controller-b") })
	checkProbe(t, tun)
	if r := sink.Recorded(); r.Ups() != 1 || dropped.of("subscription_refused") > 0 {
		t.Errorf("the connection came up %d times, %d filters were refused", r.Ups(), dropped.of("subscription_refused"))
	}
}

// With the sample configuration a client that sends far too much is cut off while it does,
// and the tunnel is not held up.
func TestTheSampleCutsHugeMessagesOff(t *testing.T) {
	s := startSampled(t)
	dropped, sink := newCounts(), &tunneltest.RecordingSink{}
	runOn(t, s.tunnel("module-controller-a", newWills(), dropped), sink)
	big := s.base("b2", "koupleless_default/b2/+")
	if err := within10s(big.Publish("koupleless_default/b2/base/simpleBiz", qos, false, make([]byte, 8<<20))); err == nil {
		t.Error("the broker took 8 MiB")
	}
	tunneltest.Await(t, "cut off", func() bool { return !big.IsConnected() })
	s.say(s.base("b1", "koupleless_default/b1/+"), "koupleless_default/b1/base/heart", heartOf("b1", "sound"))
	tunneltest.Await(t, "a sound heartbeat behind it", func() bool { return len(sink.Recorded().Beats) == 1 })
	if n := dropped.of("too_large"); n > 0 || sink.Recorded().Ups() != 1 {
		t.Errorf("%d messages came that are too large, %d connections", n, sink.Recorded().Ups())
	}
}

// checkProbe checks that the broker delivers our messages to ourselves; nobody else may
// speak.
func checkProbe(t *testing.T, tun *Tunnel) {
	t.Helper()
	tun.mu.RLock()
	s := tun.current
	tun.mu.RUnlock()
	before := s.lastReceived.Load()
	if err := s.publish(s.control.probe, nil); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "the probe", func() bool { return s.lastReceived.Load() > before })
}

// With the sample configuration nobody speaks as another base or a replica, hears what is
// not his, or takes a connection away; what is too large does not arrive.
func TestTheSampleACLsStopTheRest(t *testing.T) {
	s := startSampled(t)
	w, dropped, sink := newWills(), newCounts(), &tunneltest.RecordingSink{}
	tun := s.tunnel("module-controller-a", w, dropped)
	runOn(t, tun, sink)
	b1, b2 := tunnel.BaseID{Env: "default", Identity: "b1"}, tunnel.BaseID{Env: "default", Identity: "b2"}
	tun.Follow(tunnel.Heartbeat{Base: b1})
	tun.Follow(tunnel.Heartbeat{Base: b2})
	tunneltest.Await(t, "followed", tun.hears(2))
	for name, c := range map[string]struct{ address, user, password string }{
		"nobody":                             {s.bases, "", ""},
		"a wrong password":                   {s.bases, "b1", "of b2"},
		"the controller among bases":         {s.bases, "module-controller", "of module-controller"},
		"a base at the controller's":         {s.controller, "b1", "of b1"},
		"a stranger at the controller's too": {s.controller, "", ""},
	} {
		if _, err := s.connect(c.address, "module-controller-a", c.user, c.password); err == nil {
			t.Errorf("%s was let in", name)
		}
	}
	victim := s.base("b1", "koupleless_default/b1/+")
	renamed, err := s.connect(s.bases, "module-controller-a", "b2", "of b2") // it becomes b2
	if err != nil {
		t.Fatal(err)
	}
	renamed.Disconnect(0)
	thief := s.base("b2", "#", "koupleless_default/+/+", "koupleless_default/b1/+", "koupleless_default/b1/base/+", "module-controller/+/gone", "module-controller/+/probe")
	for topic, payload := range map[string]string{
		"koupleless_default/b1/base/heart":      heartOf("b1", "forged"),
		"koupleless_default/b1/base/simpleBiz":  list,
		"koupleless_default/b1/installBiz":      `{"bizName":"m"}`,
		"koupleless_default/b2/installBiz":      `{"bizName":"m"}`, // not even its own
		"module-controller/x/gone":              "forged",
		"koupleless_default/b2/base/simpleBiz":  strings.Repeat("x", 400<<10),
		"koupleless_default/b2/base/queryBases": "",
	} {
		s.say(thief, topic, payload)
	}
	s.say(thief, "koupleless_default/b2/base/heart", heartOf("b2", "sound"))
	tunneltest.Await(t, "a sound heartbeat behind all that", func() bool { return len(sink.Recorded().Beats) > 0 })
	if r := sink.Recorded(); len(r.Beats) != 1 || r.Beats[0].Base != b2 || r.Lists(b1) > 0 {
		t.Errorf("believed %+v, %d lists", r.Beats, r.Lists(b1))
	}
	for _, b := range []tunnel.BaseID{b1, b2} {
		if err := tun.Do(t.Context(), b, ask); err != nil {
			t.Fatal(err)
		}
	}
	tunneltest.Await(t, "the victim's command", func() bool { return slices.Equal(s.hears("sim@@@b1"), []string{"koupleless_default/b1/queryAllBiz"}) })
	tunneltest.Await(t, "the thief's own", func() bool { return slices.Equal(s.hears("sim@@@b2"), []string{"koupleless_default/b2/queryAllBiz"}) })
	if n := dropped.of("gone_unproved") + dropped.of("too_large"); n > 0 || len(w.hints()) > 0 || sink.Recorded().Ups() != 1 {
		t.Errorf("%d messages came that are the broker's to stop, hints %q, %d connections", n, w.hints(), sink.Recorded().Ups())
	}
	if !victim.IsConnected() {
		t.Error("the victim's connection was taken away")
	}
}

// The suite runs with three replicas on Mosquitto with the sample configuration.
func TestTheSampleConforms(t *testing.T) {
	conforms(t, "mosquitto", func(t *testing.T) guarded { t.Helper(); return startSample(t) })
}
