package plan

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// endpoint is a pod as an EndpointSlice has it.
type endpoint struct{ ready, terminating bool }

// endpointsOf are those of a base's address, in the order in which they were added.
func (s *sim) endpointsOf() (slice []endpoint) {
	for _, p := range s.pods {
		if p.Status.PodIP == "" || terminal(Pod{Pod: p}) {
			continue
		}
		leaves := p.DeletionTimestamp != nil
		slice = append(slice, endpoint{ready: isTrue(p.Status, corev1.PodReady) && !leaves, terminating: leaves})
	}
	return slice
}

// first and last are what kube-proxies make of several endpoints with one address.
func first(slice []endpoint) (e endpoint) {
	if len(slice) > 0 {
		e = slice[0]
	}
	return e
}

func last(slice []endpoint) (e endpoint) {
	for i, is := range slice {
		if i == 0 || !is.terminating {
			e = is
		}
	}
	return e
}

// A Service sees the base as an endpoint exactly while a module of it serves, by whichever
// rule several endpoints with one address are told apart.
func TestABaseIsAnEndpointWhileAModuleServes(t *testing.T) {
	good := func(s *sim) { s.pod("new", "orders", "2", urlOf("orders", "2")) }
	bad := func(s *sim) {
		s.jar(urlOf("orders", "2"), "orders", "2", "port is taken")
		good(s)
	}
	deleted := func(name string) func(*sim) { return func(s *sim) { s.delete(name) } }
	for _, c := range []struct {
		name     string
		features tunnel.Features
		steps    []func(*sim)
		ends     int // ready endpoints at the end
		gap      bool
	}{
		{name: "a version that cannot start", steps: []func(*sim){bad}, ends: 1},
		{name: "a version that cannot start, rolled back", steps: []func(*sim){bad, deleted("new")}, ends: 1},
		{name: "a good version over HTTP", features: overHTTP, steps: []func(*sim){good, deleted("old")}, ends: 1},
		{name: "a good version over MQTT", steps: []func(*sim){good, deleted("old")}, ends: 1, gap: true},
		{name: "a duplicate", steps: []func(*sim){func(s *sim) { s.pod("new", "orders", "1", urlOf("orders", "1")) }}, ends: 1},
		{name: "a duplicate that takes over", steps: []func(*sim){func(s *sim) { s.pod("new", "orders", "1", urlOf("orders", "1")) }, deleted("old")}, ends: 1, gap: true},
		{name: "the only one goes", steps: []func(*sim){deleted("old")}, ends: 0, gap: true},
		{name: "the base restarts", steps: []func(*sim){func(s *sim) { s.modules = nil }}, ends: 1, gap: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(c.features)
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(5)
			sample := func(when string) {
				slice, serves := s.endpointsOf(), s.serving() != ""
				a, b := first(slice).ready, last(slice).ready
				if a != b || a && !serves && !c.gap || !a && serves && !c.gap {
					t.Errorf("%s: endpoints %+v, serves %v", when, slice, serves)
				}
			}
			for i, step := range c.steps {
				step(s)
				for j := range 15 {
					s.round()
					sample(fmt.Sprintf("step %d, round %d", i, j))
				}
			}
			ready := 0
			for _, e := range s.endpointsOf() {
				if e.ready {
					ready++
				}
			}
			if ready != c.ends || len(s.endpointsOf()) != c.ends {
				t.Errorf("at the end: %+v, want %d ready", s.endpointsOf(), c.ends)
			}
		})
	}
}

// What becomes ready is written before what ceases to be.
func TestWhatBecomesReadyIsWrittenFirst(t *testing.T) {
	old := podFor("old", "orders:1", ran(urlOf("orders", "1")), shownReady, age(time.Hour))
	out := Modules(onBase("orders:1 deactivated", "orders:2 activated").with(old, podFor("new", "orders:2", age(time.Minute))))
	if first := out.Statuses[0]; first.Pod.Name != "new" || !isTrue(first.Status, corev1.PodReady) || isTrue(out.Statuses[1].Status, corev1.PodReady) {
		t.Errorf("the first is %s: %+v", first.Pod.Name, first.Status)
	}
}
