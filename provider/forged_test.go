package provider

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// overHTTP makes a heartbeat one of a base that is dialed.
func overHTTP(h *tunnel.Heartbeat) { h.Port = 1238 }

// of makes a heartbeat one that was proved to be a workload's.
func of(workload string) func(*tunnel.Heartbeat) {
	return func(h *tunnel.Heartbeat) { h.Sender = tunnel.Sender{Bound: workload != "", Workload: workload} }
}

// byBroker makes a heartbeat one that a broker let pass.
func byBroker(h *tunnel.Heartbeat) { h.Sender = tunnel.Sender{Bound: true} }

// contended is a Meter that counts what was not believed.
type contended struct {
	noMeter
	mu sync.Mutex
	n  map[string]int // by tunnel
}

func (c *contended) Dropped(tunnel, reason string) {
	if reason != "contender" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n[tunnel]++
}

// shown is what users and other programs see of the base shop and its pod.
type shown struct {
	Node        string
	Labels      map[string]string
	Annotations map[string]string
	Addresses   []corev1.NodeAddress
	Pod         string
	PodIP       string
	Ready       bool
	Followed    tunnel.Endpoint
}

func (p *testProvider) shows() shown {
	p.t.Helper()
	node, pod := p.node(), p.pod("orders")
	if node == nil || pod == nil {
		p.t.Fatalf("the Node is %v, the pod %v", node, pod)
	}
	h, _ := p.wire.follow(shop)
	return shown{
		string(node.UID), node.Labels, node.Annotations, node.Status.Addresses, string(pod.UID), pod.Status.PodIP,
		p.notReady() == "" && pod.Status.ContainerStatuses[0].Ready, h.Endpoint(),
	}
}

// One word of somebody else, whatever it says, moves, renames and deletes nothing of a base
// that lives, is sent nothing, and is counted and told.
func TestAForgedHeartbeatChangesNothing(t *testing.T) {
	forged := map[string]func(*tunnel.Heartbeat){
		"another port":    func(h *tunnel.Heartbeat) { h.Port = 9 },
		"another address": func(h *tunnel.Heartbeat) { h.IP = "192.0.2.66" },
		"another name":    func(h *tunnel.Heartbeat) { h.Name = "evil" },
		"another cluster": func(h *tunnel.Heartbeat) { h.Cluster = "evil" },
		"all of it": func(h *tunnel.Heartbeat) {
			h.Name, h.Cluster, h.IP, h.Port, h.Hostname = "evil", "evil", "192.0.2.66", 9, "evil"
		},
		"that it restarted":  func(h *tunnel.Heartbeat) { h.IP, h.Restarted = "192.0.2.66", true },
		"another tunnel":     func(h *tunnel.Heartbeat) { h.Tunnel, h.IP, h.Port = "other", "192.0.2.66", 9 },
		"there, and renamed": func(h *tunnel.Heartbeat) { h.Tunnel, h.Name, h.Port = "other", "evil", 9 },
		"another workload":   of("evil/evil/1"),
		"nobody's":           of(""),
	}
	for name, change := range forged {
		for served, base := range map[string][]func(*tunnel.Heartbeat){
			"HTTP": {overHTTP, of("ns/shop-0/1")}, "MQTT": {byBroker},
		} {
			forger := of("evil/evil/1")
			if served == "MQTT" {
				forger = byBroker
			}
			t.Run(served+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := newTestProvider(t, Config{}, []*wire{newWire("other")})
					meter := &contended{n: map[string]int{}}
					p.meter = meter
					p.runs()
					p.beats(base...)
					p.passes(3 * time.Second)
					p.installs(podOn("orders"))
					p.passes(10 * time.Second)
					p.beats(base...)
					before, did := p.shows(), p.base.log()
					p.beats(append(base, forger, change)...)
					for range 3 {
						p.passes(10 * time.Second)
						p.beats(base...)
					}
					if diff := cmp.Diff(before, p.shows()); diff != "" {
						t.Errorf("(-before +after):\n%s", diff)
					}
					if diff := cmp.Diff(did, p.base.log()); diff != "" {
						t.Errorf("the base did (-before +after):\n%s", diff)
					}
					if meter.n["wire"]+meter.n["other"] != 1 {
						t.Errorf("counted are %v", meter.n)
					}
					event := p.events.has(told{"Node", shopNode, plan.ReasonBaseContested})
					if logs := p.logs.FilterMessageSnippet("base contested").Len(); logs != 1 || !strings.HasPrefix(event, corev1.EventTypeWarning) {
						t.Errorf("it is logged %d times, the Event is %q", logs, event)
					}
				})
			})
		}
	}
}

// secretPod is a pod whose environment has a Secret's value.
func secretPod(t *testing.T, p *testProvider) *corev1.Pod {
	t.Helper()
	_, err := p.api.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "db"}, Data: map[string][]byte{"password": []byte("s3cr3t"), "unasked": []byte("0ther")},
	}, metav1.CreateOptions{})
	must(t, err)
	pod := podOn("orders")
	pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "DB_PASSWORD", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}, Key: "password"},
	}})
	return pod
}

// Secrets leave only to a base that is proved to be it, and only those that are asked for.
func TestSecretsLeaveOnlyToABoundBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.base.stuck = true // it keeps what it is sent
		p.beats(overHTTP)
		p.passes(3 * time.Second)
		p.wire.reports(shop, tunnel.Report{Features: &tunnel.Features{Settings: true}})
		p.binds(secretPod(t, p))
		p.passes(20 * time.Second)
		if got := waits(p.pod("orders")); got != plan.ReasonNotBound || len(p.base.keeps()) > 0 {
			t.Fatalf("the pod waits for %q, the base was sent %+v", got, p.base.keeps())
		}
		p.beats(overHTTP, of("ns/shop-0/1"))
		p.passes(10 * time.Second)
		kept := p.base.keeps()
		if len(kept) != 1 || kept[0].Env["DB_PASSWORD"] != "s3cr3t" {
			t.Fatalf("once it is proved it is sent %+v", kept)
		}
		for name, value := range kept[0].Env {
			if value == "0ther" {
				t.Errorf("it is sent %s, which nobody asked for", name)
			}
		}
	})
}

// When the Pod of a base is gone, the next one that has its identity is believed at once:
// the Node and its pods stay.
func TestABaseWhosePodIsGoneIsFollowedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		gone := &places{}
		p.deps.Workloads = gone
		p.runs()
		p.beats(overHTTP, of("ns/shop-0/1"))
		p.passes(3 * time.Second)
		p.installs(podOn("orders"))
		before := p.shows()
		gone.set("ns/shop-0/1", plan.Place{Workload: plan.WorkloadEnded})
		p.base.set(func(b *base) { clear(b.modules) })
		p.beats(overHTTP, of("ns/shop-0/2"), func(h *tunnel.Heartbeat) { h.IP = "192.0.2.2" })
		p.passes(10 * time.Second)
		after := p.shows()
		if after.Node != before.Node || after.Pod != before.Pod || !after.Ready || after.Followed.IP != "192.0.2.2" || after.PodIP != "192.0.2.2" {
			t.Errorf("it is %+v, was %+v", after, before)
		}
		if to := after.Annotations[plan.AnnotationBoundTo]; to != "ns/shop-0/2" || p.nodes.address(shopNode) != "192.0.2.2" {
			t.Errorf("its Node is bound to %q at %s", to, p.nodes.address(shopNode))
		}
	})
}

// A base that starts again at another port, of which nothing is proved, is followed there
// once the old place is silent.
func TestABaseThatRestartsElsewhereIsFollowedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.beats(overHTTP)
		p.passes(3 * time.Second)
		p.installs(podOn("orders"))
		before := p.node().UID
		p.base.set(func(b *base) { b.silent = true })
		for range 10 {
			p.passes(10 * time.Second)
			p.beats(func(h *tunnel.Heartbeat) { h.Port = 1300 })
			if h, _ := p.wire.follow(shop); h.Port == 1300 {
				p.base.set(func(b *base) { b.silent = false; clear(b.modules) })
			}
		}
		p.passes(150 * time.Second)
		h, _ := p.wire.follow(shop)
		if h.Port != 1300 || p.node().UID != before || !p.base.has(orders) {
			t.Errorf("it is followed at %s, its Node is %v, it did %v", h.Endpoint(), p.node(), p.base.log())
		}
	})
}

// A base that nobody ever reached is no Node, whatever is said of it and however often.
func TestABaseThatNeverAnsweredIsNoNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.base.silent = true
		for range 30 {
			p.beats(overHTTP)
			p.passes(10 * time.Second)
		}
		if p.node() != nil || p.HasNode(shop) {
			t.Fatalf("its Node is %v", p.node())
		}
		p.base.set(func(b *base) { b.silent = false })
		for range 2 * readmitAfter / (10 * time.Second) { // it may be kept out for that long
			p.beats(overHTTP)
			p.passes(10 * time.Second)
		}
		if p.node() == nil || p.notReady() != "" {
			t.Errorf("it answered, and its Node is %v", p.node())
		}
	})
}

// A description that changes with each word costs the API server a few writes.
func TestADescriptionThatChangesCostsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.beats(overHTTP)
		p.passes(3 * time.Second)
		shownHosts := map[string]bool{}
		for i := range 600 {
			p.beats(overHTTP, func(h *tunnel.Heartbeat) { h.Hostname = fmt.Sprint("h", i) })
			p.passes(100 * time.Millisecond)
			shownHosts[p.node().Labels["base.koupleless.io/host-name"]] = true
		}
		if got := len(shownHosts); got > 10 {
			t.Errorf("in a minute it is described %d times", got)
		}
		p.passes(11 * time.Second)
		if got := p.node().Labels["base.koupleless.io/host-name"]; got != "h599" {
			t.Errorf("the last description is %s", got)
		}
	})
}
