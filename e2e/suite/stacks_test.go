package suite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/attacker"
	"module-controller/e2e/harness"
	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

// stackLabel is what a base's modules are made of, on its Node.
const stackLabel = "base.koupleless.io/stack"

// The main job, over both tunnels to Java and over a third, whose bases run processes, behind
// three replicas: each Deployment goes to the bases of its stack, is updated, and lives on when
// a replica is killed. Each base proves who it is: over MQTT by a password and the broker's ACL,
// over HTTP by its Pod, and the third by a key. Who cannot is refused.
func TestThreeTunnelsAndTwoStacks(t *testing.T) {
	bins, err := harness.BuildProcesses(t.Context(), t.TempDir()) // before others run beside it
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	const javas, others = 6, 3
	w := cluster.New(t).WithGuardedBroker(javas).WithService()
	w.Binary = bins.Controller
	f := &processFleet{World: w}
	for range 3 {
		w.WithController("SETTLE_TIME=3s", "LIST_INTERVAL=2s", "QUIET_LIST_INTERVAL=4s", "PROCESS_LISTEN="+f.address(), "PROCESS_KEY="+harness.ProcessKey)
	}
	w.StartFleet(javas, append(w.OverHTTP(javas), w.OverMQTT()...)...) // every second one speaks HTTP
	f.start(bins.Fleet, others)
	w.AwaitNodesReady(javas + others)
	stacks := map[string]int{}
	for _, n := range w.Nodes() {
		stacks[n.Labels[stackLabel]+" over "+n.Labels["vnode.koupleless.io/tunnel"]]++
	}
	for what, want := range map[string]int{"java over mqtt_tunnel_provider": javas / 2, "java over http_tunnel_provider": javas / 2, "process over process_tunnel_provider": others} {
		if stacks[what] != want {
			t.Errorf("%d Nodes are of %s, want %d: %v", stacks[what], what, want, stacks)
		}
	}

	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), javas, world.SpreadRevisions, of("java"))
	w.CreateDeployment("orders", "1.0.0", f.module("orders", "1.0.0"), others, world.SpreadRevisions, of("process"))
	ready := func(version string) {
		t.Helper()
		w.Eventually(world.Timeout, func() error { return serving(w, map[string]int{"stock": javas, "orders": others}, version) })
	}
	ready("1.0.0")
	w.SetVersion("stock", "2.0.0", world.Jar("stock", "2.0.0"))
	w.SetVersion("orders", "2.0.0", f.module("orders", "2.0.0"))
	ready("2.0.0")
	updated := harness.ProcessCounts{Installs: map[string]int{"orders:1.0.0": 1, "orders:2.0.0": 1}, Uninstalls: map[string]int{"orders:1.0.0": 1}}
	f.did(updated)
	refusesImpostors(f)

	victim := w.Incarnation(1)
	w.Must(w.Replicas[1].Kill())
	took := w.AwaitOwned(12*time.Second, javas+others, victim)
	t.Logf("all bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
	w.CreateDeployment("bills", "1.0.0", f.module("bills", "1.0.0"), others, world.SpreadRevisions, of("process"))
	w.AwaitPodsReady("app=bills", others)
	ready("2.0.0")
	updated.Installs["bills:1.0.0"] = 1
	f.did(updated)
	w.Kubectl("delete", "-n", w.Env, "deployment", "bills")
	w.AwaitPodsReady("app=bills", 0)
	updated.Uninstalls["bills:1.0.0"] = 1
	f.did(updated)
}

// refusesImpostors checks that nobody is heard over HTTP or the third tunnel who does not prove
// that he is the base; that the broker lets in nobody without the password of whom he says to be;
// and that a base which it lets in neither speaks for another, nor hears what that one is sent.
func refusesImpostors(f *processFleet) {
	w := f.World
	w.Helper()
	base, victim := world.BaseID(1), world.BaseID(3) // of the odd ones, which speak MQTT
	for what, c := range map[string]struct{ client, user, password string }{
		"nobody":                          {"sim@@@" + base + "-x", "", ""},
		"a base with a wrong password":    {"sim@@@" + base + "-x", base, "guessed"},
		"a base with another's password":  {"sim@@@" + base + "-x", base, world.Password(victim)},
		"a base as one of the replicas":   {w.Incarnation(0), base, world.Password(base)},
		"a base that is not known":        {"sim@@@" + world.BaseID(99) + "-x", world.BaseID(99), world.Password(world.BaseID(99))},
		"the controller with no password": {harness.ControllerUser + "-x", harness.ControllerUser, ""},
	} {
		if p, err := attacker.ConnectAs(w.Context(), w.BrokerAddress(), c.client, c.user, c.password); err == nil {
			p.Close()
			w.Errorf("%s was let in", what)
		}
	}
	before, did := w.Nodes(), w.Counts()
	p, err := attacker.ConnectAs(w.Context(), w.BrokerAddress(), "sim@@@"+base+"-x", base, world.Password(base))
	w.Must(err)
	defer p.Close()
	topic := func(identity, what string) string { return "koupleless_" + w.Env + "/" + identity + "/" + what }
	heart := []byte(attacker.Heart{Identity: victim, Name: "bank", IP: "127.0.0.1"}.Published(time.Now()))
	none := fmt.Appendf(nil, `{"publishTimestamp":%d,"data":[]}`, time.Now().UnixMilli())
	for topic, body := range map[string][]byte{
		topic(victim, "base/heart"): heart, topic(victim, "base/simpleBiz"): none,
		topic(victim, "installBiz"): []byte(`{"bizName":"x","bizVersion":"1"}`), topic(base, "uninstallBiz"): []byte(`{"bizName":"stock","bizVersion":"2.0.0"}`),
	} {
		w.Must(p.Publish(w.Context(), topic, body, false)) // it is acknowledged and goes nowhere
	}
	for filter, want := range map[string]bool{topic(base, "+"): true, topic(victim, "+"): false, topic("+", "installBiz"): false, "#": false} {
		if let, err := p.Listen(w.Context(), filter); err != nil || let != want {
			w.Errorf("%s subscribes to %s: %v, want %v: %v", base, filter, let, want, err)
		}
	}
	stranger := attacker.NewSender("127.0.0.9", w.Endpoint()) // where no base's Pod is
	defer stranger.Close()
	for _, identity := range []string{world.BaseID(2), world.BaseID(99)} { // the even ones speak HTTP
		told := attacker.Heart{Identity: identity, Name: "bank", IP: stranger.IP, Port: 9}
		if status, text, err := stranger.Post(w.Context(), "/heartbeat", told.String()); err != nil || status != http.StatusForbidden {
			w.Errorf("%s from where no base is: %d %s (%v)", identity, status, text, err)
		}
	}
	guessed := func(challenge string) string {
		mac := hmac.New(sha256.New, []byte("guessed"))
		_, _ = mac.Write([]byte(challenge))
		return hex.EncodeToString(mac.Sum(nil))
	}
	for what, prove := range map[string]func(string) string{"without a proof": func(string) string { return "" }, "with a guessed key": guessed} {
		if err := f.hearsOut("process-1", prove); !errors.Is(err, io.EOF) {
			w.Errorf("process-1 %s: %v, want that the connection is closed", what, err)
		}
	}
	w.AwaitListed()
	if is := w.Counts(); is.Installs != did.Installs || is.Uninstalls != did.Uninstalls {
		w.Errorf("the bases did %+v, had done %+v", is, did)
	}
	after := map[string]corev1.Node{}
	for _, n := range w.Nodes() {
		after[n.Name] = n
	}
	for _, was := range before {
		if is := after[was.Name]; is.UID != was.UID || !world.NodeReady(is) || !maps.Equal(is.Labels, was.Labels) {
			w.Errorf("node %s, ready: %v, has labels %v, had %v", was.Name, world.NodeReady(is), is.Labels, was.Labels)
		}
	}
	if len(after) != len(before) {
		w.Errorf("there are %d Nodes, were %d", len(after), len(before))
	}
}

// of has a Deployment use the bases of a stack.
func of(stack string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { d.Spec.Template.Spec.NodeSelector[stackLabel] = stack }
}

// serving says whether Deployments have so many pods, all Ready and of a version.
func serving(w *world.World, deployments map[string]int, version string) error {
	for app, want := range deployments {
		pods := w.Pods("app=" + app)
		for _, p := range pods {
			if !world.PodReady(p) || p.Spec.Containers[0].Env[0].Value != version {
				return fmt.Errorf("pod %s: %s", p.Name, world.Waiting(p))
			}
		}
		if len(pods) != want {
			return fmt.Errorf("%d pods of %s, want %d", len(pods), app, want)
		}
	}
	return nil
}

// processFleet is a fleet of bases that run processes, and what it speaks to.
type processFleet struct {
	*world.World
	*harness.ProcessFleet
	addresses []string
}

// address gives a free address for the tunnel of one more replica.
func (f *processFleet) address() string {
	f.Helper()
	port, err := process.FreePort()
	f.Must(err)
	f.addresses = append(f.addresses, fmt.Sprint("127.0.0.1:", port))
	return f.addresses[len(f.addresses)-1]
}

// hearsOut tells a replica to be a base, and gives how the connection ended; the deadline's error
// where it did not.
func (f *processFleet) hearsOut(identity string, prove func(challenge string) string) error {
	f.Helper()
	conn, err := (&net.Dialer{}).DialContext(f.Context(), "tcp", f.addresses[0])
	f.Must(err)
	defer func() { _ = conn.Close() }()
	f.Must(conn.SetDeadline(time.Now().Add(10 * time.Second)))
	in := json.NewDecoder(conn)
	var asks struct{ Challenge string }
	f.Must(in.Decode(&asks))
	hello := map[string]any{"env": f.Env, "identity": identity, "name": "bank", "version": "1", "process": "another", "proof": prove(asks.Challenge)}
	f.Must(json.NewEncoder(conn).Encode(map[string]any{"clock": time.Now().UnixMilli(), "hello": hello}))
	return in.Decode(&asks)
}

// start starts it, until the test ends.
func (f *processFleet) start(binary string, bases int) {
	f.Helper()
	var err error
	f.ProcessFleet, err = harness.StartProcessFleet(binary, filepath.Join(f.Dir, "processes.log"), f.Env, bases, f.addresses)
	f.Must(err)
	f.Cleanup(func() { f.Must(f.ProcessFleet.Stop(world.StopTimeout)) })
}

// module gives the URL of a module.
func (f *processFleet) module(name, version string) string {
	f.Helper()
	url, err := harness.ProcessModule(f.Dir, name, version)
	f.Must(err)
	return url
}

// did checks what each base did, by name:version.
func (f *processFleet) did(want harness.ProcessCounts) {
	f.Helper()
	all, err := f.ProcessFleet.Counts()
	f.Must(err)
	for id, is := range all {
		if d := cmp.Diff(want, is); d != "" {
			f.Errorf("%s did (-want +got):\n%s", id, d)
		}
	}
}
