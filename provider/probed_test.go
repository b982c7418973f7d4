package provider

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// ports are where modules listen, by address.
type ports struct {
	mu sync.Mutex
	// mu guards what follows
	open  map[string]bool
	dials []string
}

func (p *ports) dial(_ context.Context, _, address string) (net.Conn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dials = append(p.dials, address)
	if !p.open[address] {
		return nil, syscall.ECONNREFUSED
	}
	here, there := net.Pipe()
	_ = there.Close()
	return here, nil
}

func (p *ports) set(address string, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[address] = open
}

func (p *ports) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.dials)
}

// orders8080 is where the module orders of the base shop listens.
const orders8080 = "192.0.2.1:8080"

// probedPod is a pod whose module is asked for its readiness and whether it lives, each
// second.
func probedPod(name string) *corev1.Pod {
	pod := podOn(name)
	probe := &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
		PeriodSeconds: 1, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
	}
	pod.Spec.Containers[0].ReadinessProbe = probe
	return pod
}

// probing runs a provider whose base serves a module that is probed and ready.
func probing(t *testing.T) *testProvider {
	t.Helper()
	p := running(t)
	p.ports.set(orders8080, true)
	p.serves()
	p.installs(probedPod("a"))
	p.passes(3 * time.Second)
	if is := p.probed("a"); !is.Ready || !p.ready("a") {
		t.Fatalf("it is not ready: %+v", is)
	}
	return p
}

// probed is what is known of the module of a pod.
func (p *testProvider) probed(name string) plan.Probed {
	return p.pods.probes.Results(shopNode)[p.pod(name).UID]["orders"]
}

// ready says whether the API server shows a pod as ready.
func (p *testProvider) ready(name string) bool {
	return slices.ContainsFunc(p.pod(name).Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// probesIn counts the probes that are made in a time.
func (p *testProvider) probesIn(d time.Duration) int {
	before := len(p.ports.asked())
	p.passes(d)
	return len(p.ports.asked()) - before
}

func TestAModuleIsProbedAtItsBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := probing(t)
		if n := p.probesIn(10 * time.Second); n != 10 {
			t.Errorf("%d probes in 10 s", n)
		}
		for _, at := range p.ports.asked() {
			if at != orders8080 {
				t.Errorf("%s was asked", at)
			}
		}
		p.ports.set(orders8080, false)
		p.passes(4 * time.Second)
		if is := p.probed("a"); is.Ready || p.ready("a") || !strings.Contains(is.Message, "connection refused") {
			t.Errorf("%+v", is)
		}
		if got := p.events.has(told{"Pod", "a", "Unhealthy"}); got != "Warning Readiness probe failed: connection refused" {
			t.Errorf("the Event says %q", got)
		}
	})
}

// The planner gets what is known of each pod's containers, and the base is woken for it.
func TestWhatProbesFindReachesThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := probing(t)
		p.ports.set(orders8080, false)
		p.passes(4 * time.Second)
		p.queue.ShutDown() // what is observed belongs to a worker
		synctest.Wait()
		seen, _ := p.observe(shop)
		if len(seen.facts.Pods) != 1 {
			t.Fatalf("%d pods", len(seen.facts.Pods))
		}
		pod := seen.facts.Pods[0]
		is, there := pod.Probed["orders"]
		if !there || is.Ready || !is.Started || !is.Since.Equal(&pod.Status.ContainerStatuses[0].State.Running.StartedAt) {
			t.Errorf("the plan is given %+v", pod.Probed)
		}
	})
}

func TestOnlyWhoServesABaseProbes(t *testing.T) {
	for name, ends := range map[string]func(p *testProvider){
		"lost":       func(p *testProvider) { p.owner.loses(shop) },
		"suspended":  func(p *testProvider) { p.owner.suspends(shop) },
		"unlinked":   func(p *testProvider) { p.Link(tunnel.Link{Tunnel: "wire", Up: false, Since: time.Now()}) },
		"pod leaves": func(p *testProvider) { p.terminates("a") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := probing(t)
				ends(p)
				p.passes(3 * time.Second)
				if n := p.probesIn(10 * time.Second); n != 0 {
					t.Errorf("%d probes", n)
				}
			})
		})
	}
}

// What was found stays while nothing is asked, and probing goes on afterwards.
func TestProbingGoesOnAfterAnOutage(t *testing.T) {
	for name, outage := range map[string][2]func(p *testProvider){
		"of the API server": {func(p *testProvider) { p.owner.suspends(shop) }, func(p *testProvider) { p.owner.renews(shop) }},
		"of our link": {
			func(p *testProvider) { p.Link(tunnel.Link{Tunnel: "wire", Up: false, Since: time.Now()}) },
			func(p *testProvider) { p.Link(tunnel.Link{Tunnel: "wire", Up: true, Since: time.Now()}) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := probing(t)
				outage[0](p)
				p.passes(time.Second)
				p.ports.set(orders8080, false)
				p.passes(10 * time.Second)
				if !p.probed("a").Ready {
					t.Error("it is not ready although nothing was asked")
				}
				outage[1](p)
				p.passes(5 * time.Second)
				if p.probed("a").Ready {
					t.Error("it is ready although nobody listens")
				}
			})
		})
	}
}

// A base that is handed over is probed until it is another's.
func TestABaseThatDrainsIsProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := probing(t)
		p.owner.phase(shop, shard.Draining)
		if n := p.probesIn(5 * time.Second); n != 5 {
			t.Errorf("%d probes in 5 s", n)
		}
	})
}

// Whoever takes a base over reads from its pods what their modules were.
func TestATakeoverKeepsWhatWasReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := probing(t)
		since := p.pod("a").Status.Conditions
		p.owner.loses(shop)
		p.passes(2 * time.Second)
		p.owner.wins(shop)
		p.passes(0)
		if is := p.probed("a"); !is.Ready || !is.Started {
			t.Errorf("it is not what its pod says: %+v", is)
		}
		p.passes(5 * time.Second)
		if diff := cmp.Diff(since, p.pod("a").Status.Conditions); diff != "" {
			t.Errorf("its conditions changed (-was +is):\n%s", diff)
		}
		if n := p.probesIn(10 * time.Second); n < 9 {
			t.Errorf("%d probes in 10 s", n)
		}
	})
}
