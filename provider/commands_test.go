package provider

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// A command that does not leave is no command: once it can be sent it is, and once.
func TestACommandThatDoesNotLeaveIsSentLater(t *testing.T) {
	for name, err := range map[string]error{
		"busy": tunnel.ErrBusy, "not followed": tunnel.ErrNotFollowed, "not linked": tunnel.ErrNotLinked, "shut": tunnel.ErrShut,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				p.serves()
				p.wire.failsWith(err, tunnel.InstallModule)
				p.binds(podOn("orders"))
				p.passes(18 * time.Second)
				if got := waits(p.pod("orders")); got != plan.ReasonInstalling || p.notReady() != "" {
					t.Errorf("meanwhile the pod waits for %q, the Node is %q", got, p.notReady())
				}
				p.wire.failsWith(nil, tunnel.InstallModule)
				p.passes(1100 * time.Millisecond)
				if log := p.base.log(); !slices.Equal(log, installedOnce) {
					t.Errorf("a second later the base did %v", log)
				}
				p.passes(3 * time.Second)
				if log := p.base.log(); !slices.Equal(log, installedOnce) || p.pod("orders").Status.Phase != corev1.PodRunning {
					t.Errorf("the base did %v, the pod shows %+v", log, p.pod("orders").Status)
				}
			})
		})
	}
}

// ofStock is a pod of another module.
func ofStock() *corev1.Pod {
	pod := podOn("stock")
	pod.Spec.Containers[0].Name, pod.Spec.Containers[0].Image = "stock", "file:///stock.jar"
	return pod
}

// Of several commands the one that does not leave holds up no other.
func TestACommandThatDoesNotLeaveHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stock := tunnel.ModuleKey{Name: "stock", Version: "1"}
		p := running(t)
		p.serves()
		p.wire.failsWith(tunnel.ErrBusy, tunnel.UninstallModule)
		p.installs(podOn("orders"))
		p.terminates("orders")
		p.binds(ofStock())
		p.passes(5 * time.Second)
		if !p.base.has(stock) || !p.base.has(orders) || p.pod("orders") == nil {
			t.Errorf("the base did %v", p.base.log())
		}
		p.wire.failsWith(nil, tunnel.UninstallModule)
		p.passes(5 * time.Second)
		if p.base.has(orders) || p.pod("orders") != nil {
			t.Errorf("the base did %v", p.base.log())
		}
	})
}

// A tunnel that does not hear the base yet is asked again soon, and with pauses.
func TestABaseThatItsTunnelDoesNotHearYetIsAskedSoon(t *testing.T) {
	all := []tunnel.Verb{tunnel.ListModules, tunnel.ReadHealth}
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.wire.failsWith(tunnel.ErrNotFollowed, all...)
		p.beats()
		p.passes(10 * time.Second)
		if p.base.toldWithin(time.Hour) {
			t.Fatal("it told its modules though nobody could ask")
		}
		p.wire.failsWith(nil, all...)
		p.passes(1100 * time.Millisecond)
		if !p.base.toldWithin(1100 * time.Millisecond) {
			t.Error("it was not asked within a second")
		}
		p.installs(podOn("orders")) // its lists are not taken for answers to what nobody heard
	})
}

// The first pauses are short: most tunnels hear a base after a moment.
func TestABaseIsAskedAtOnceWhenItsTunnelHearsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.wire.failsWith(tunnel.ErrNotFollowed, tunnel.ListModules, tunnel.ReadHealth)
		p.beats()
		p.passes(50 * time.Millisecond)
		p.wire.failsWith(nil, tunnel.ListModules, tunnel.ReadHealth)
		p.passes(120 * time.Millisecond)
		if !p.base.toldWithin(120 * time.Millisecond) {
			t.Error("it was not asked")
		}
	})
}

// A tunnel that never can ask is as bad as a base that never answers.
func TestABaseThatCannotBeAskedIsNotAnswering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.wire.failsWith(tunnel.ErrNotFollowed, tunnel.ListModules, tunnel.ReadHealth)
		for range 12 {
			p.beats()
			p.passes(10 * time.Second)
		}
		if p.notReady() != plan.ReasonBaseNotAnswering {
			t.Errorf("it is %q", p.notReady())
		}
	})
}

// A request that does not leave proves nothing about the base, and is made again.
func TestRequestsThatDoNotLeaveProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.wire.failsWith(tunnel.ErrBusy, tunnel.ListModules, tunnel.ReadHealth)
		for range 20 {
			p.beats()
			p.passes(10 * time.Second)
		}
		if p.notReady() != "" {
			t.Errorf("it is %q", p.notReady())
		}
		p.wire.failsWith(nil, tunnel.ListModules, tunnel.ReadHealth)
		p.passes(10 * time.Second)
		if !p.base.toldWithin(10 * time.Second) {
			t.Error("it is not asked any more")
		}
	})
}

// twoWires is a provider with the tunnels wire and other, of which wire is preferred.
func twoWires(t *testing.T) (*testProvider, *wire) {
	t.Helper()
	other := newWire("other")
	p := newTestProvider(t, Config{}, []*wire{other})
	p.runs()
	p.serves()
	return p, other
}

func by(name string) func(*tunnel.Heartbeat) {
	return func(h *tunnel.Heartbeat) { h.Tunnel = name }
}

// A base that is heard through another tunnel, and neither speaks nor answers through its
// own any more, is followed there, and nowhere else.
func TestABaseMovesToAnotherTunnel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, other := twoWires(t)
		p.beats(by("other"))
		p.passes(time.Second)
		if !p.wire.follows(shop) || other.follows(shop) {
			t.Errorf("its own tunnel hears it, and it is followed by wire %v, by other %v", p.wire.follows(shop), other.follows(shop))
		}
		p.wire.loses(shop)
		for range 8 {
			p.passes(6 * time.Second)
			p.beats(by("other"))
		}
		p.passes(3 * time.Second)
		if p.wire.follows(shop) || !other.follows(shop) || p.node().Labels[plan.LabelTunnel] != "other" {
			t.Errorf("it moved, and is followed by wire %v, by other %v, its Node says %v", p.wire.follows(shop), other.follows(shop), p.node().Labels)
		}
		p.installs(podOn("orders"))
	})
}

// A base whose tunnel is not served here is not talked to, and nothing breaks.
func TestNothingIsSaidThroughATunnelThatIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.beats(by("pigeon"))
		p.passes(time.Minute)
		if p.wire.follows(shop) || p.base.toldWithin(time.Hour) {
			t.Error("it is talked to")
		}
	})
}

// What is ordinary is told at debug level.
func TestARequestThatDoesNotLeaveIsLogged(t *testing.T) {
	for _, c := range []struct {
		err  error
		want []zapcore.Level
	}{
		{nil, nil},
		{tunnel.ErrBusy, []zapcore.Level{zapcore.DebugLevel}},
		{tunnel.ErrNotLinked, []zapcore.Level{zapcore.DebugLevel}},
		{errors.New("refused"), []zapcore.Level{zapcore.InfoLevel}},
	} {
		core, logs := observer.New(zapcore.DebugLevel)
		tunnels{log: zap.New(core)}.note(shop, tunnel.ListModules, c.err)
		var got []zapcore.Level
		for _, l := range logs.All() {
			got = append(got, l.Level)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v is told at %v, want %v", c.err, got, c.want)
		}
	}
}
