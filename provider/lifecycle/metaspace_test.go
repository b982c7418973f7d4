package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

const mib = 1 << 20

// asking gives a pod that requests memory for a module.
func asking(uid, module string, bytes int64) plan.Pod {
	p := podWith(podID(uid), module)
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceMemory: *resource.NewQuantity(bytes, resource.BinarySI)}
	return plan.Pod{Pod: p}
}

// Only what was loaded from before health was asked for until now is both in the used
// metaspace and to be added back.
func TestWhatHealthCounts(t *testing.T) {
	pods := []plan.Pod{asking("u1", "a:1", 1), asking("u2", "b:1", 10)}
	a, both := modulesOf("a:1"), modulesOf("a:1", "b:1")
	starting := []tunnel.Module{{ModuleKey: keyOf("a:1"), State: tunnel.Activated}, {ModuleKey: keyOf("b:1"), State: tunnel.Resolved}}
	for _, c := range []struct {
		name     string
		play     func(m *metaspace)
		want     int64
		outdated bool
	}{
		{"no health", func(m *metaspace) { m.listed(both, false) }, 0, false},
		{"loaded all the time", func(m *metaspace) { m.listed(both, false); m.ask(nil); m.told(nil); m.listed(both, true) }, 11, false},
		{"came after it was asked for", func(m *metaspace) { m.listed(a, false); m.ask(nil); m.listed(both, false); m.told(nil) }, 1, true},
		{"came after the health", func(m *metaspace) { m.listed(a, false); m.ask(nil); m.told(nil); m.listed(both, true) }, 1, true},
		{"was starting", func(m *metaspace) { m.listed(starting, false); m.ask(nil); m.told(nil); m.listed(both, true) }, 1, true},
		{"went", func(m *metaspace) { m.listed(both, false); m.ask(nil); m.told(nil); m.listed(a, true) }, 1, true},
		{"went, and was told of", func(m *metaspace) {
			m.listed(both, false)
			m.ask(nil)
			m.told(nil)
			m.listed(a, true)
			m.ask(nil)
			m.told(nil)
		}, 1, false},
		{"is being taken away", func(m *metaspace) {
			m.listed(both, false)
			m.ask(map[string]plan.Attempt{"b": {}})
			m.told(nil)
		}, 1, true},
		{"is being taken away meanwhile", func(m *metaspace) {
			m.listed(both, false)
			m.ask(nil)
			m.told(map[string]plan.Attempt{"b": {}})
		}, 1, true},
		{"the first list comes after the health", func(m *metaspace) { m.ask(nil); m.told(nil); m.listed(both, true) }, 11, false},
		{"the first list comes before the health", func(m *metaspace) { m.ask(nil); m.listed(both, false); m.told(nil) }, 11, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m metaspace
			c.play(&m)
			if got := m.requested(pods); got != c.want || m.outdated != c.outdated {
				t.Errorf("%d bytes, outdated %v; want %d, %v", got, m.outdated, c.want, c.outdated)
			}
		})
	}
}

// jvm is a base whose modules use metaspace as they say, and the scheduler that places pods on
// its Node.
type jvm struct {
	own, limit int64
	loaded     map[string]int64
	pods       map[string]plan.Pod
}

func (j *jvm) used() int64 {
	sum := j.own
	for _, bytes := range j.loaded {
		sum += bytes
	}
	return sum
}

func (j *jvm) list() []tunnel.Module {
	var modules []tunnel.Module
	for key := range j.loaded {
		modules = append(modules, modulesOf(key)...)
	}
	return modules
}

// promised is what the scheduler may still place, by what the Node shows.
func (j *jvm) promised(node *corev1.Node) int64 {
	free := node.Status.Allocatable.Memory().Value()
	for _, pod := range j.pods {
		free -= pod.Spec.Containers[0].Resources.Requests.Memory().Value()
	}
	return free
}

// left is what is truly left once all that is placed is loaded.
func (j *jvm) left() int64 {
	free := j.limit - j.used()
	for key, pod := range j.pods {
		if _, is := j.loaded[key]; !is {
			free -= pod.Spec.Containers[0].Resources.Requests.Memory().Value()
		}
	}
	return free
}

// Whenever the scheduler looks, it is promised no more metaspace than there is, in whatever
// order modules come and go, lists are read and health is.
func TestMetaspaceIsNeverGivenOutTwice(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 7))
		j := &jvm{own: 100 * mib, limit: 1024 * mib, loaded: map[string]int64{}, pods: map[string]plan.Pod{}}
		var m metaspace
		var health, asked *tunnel.Health
		var node *corev1.Node
		var removing string // it is not loaded any more; its pod ends after the list
		for step := range 200 {
			key := fmt.Sprintf("m%d:1", r.IntN(6))
			_, placed := j.pods[key]
			switch r.IntN(7) {
			case 0:
				if !placed && (node == nil || j.promised(node) >= 40*mib) {
					j.pods[key] = asking(key, key, 40*mib)
				}
			case 1:
				if placed && key != removing && m.present != nil { // no command leaves before there is a list
					j.loaded[key] = 40 * mib
				}
			case 2:
				if removing == "" && j.loaded[key] > 0 {
					removing = key
					delete(j.loaded, key)
				}
			case 3: // a list, the Node, and then the deletion, as one Turn does
				m.listed(j.list(), health != nil)
				node = j.node(&m, health, node)
				delete(j.pods, removing)
				removing = ""
			case 4:
				m.ask(j.commanded(removing))
				asked = &tunnel.Health{MaxMemory: j.limit, UsedMemory: j.used()}
			case 5:
				if asked != nil {
					health, asked = asked, nil
					m.told(j.commanded(removing))
				}
			}
			if m.present == nil || health == nil {
				continue
			}
			node = j.node(&m, health, node)
			if promised, left := j.promised(node), j.left(); promised > left+j.limit/64 {
				t.Fatalf("seed %d, step %d: %d MiB are promised, and %d left", seed, step, promised/mib, left/mib)
			}
		}
	}
}

// commanded has the command that takes a module away; none where it is empty.
func (j *jvm) commanded(removing string) map[string]plan.Attempt {
	if removing == "" {
		return nil
	}
	return map[string]plan.Attempt{keyOf(removing).Name: {}}
}

func (j *jvm) node(m *metaspace, health *tunnel.Health, was *corev1.Node) *corev1.Node {
	var pods []plan.Pod
	for _, pod := range j.pods {
		pods = append(pods, pod)
	}
	in := plan.NodeInput{Now: noon, Name: nodeName, Heartbeat: beatOf(noon), Health: health, Loaded: m.requested(pods), Config: plan.NodeConfig{}.Complete()}
	return plan.Node(in, was)
}

// After modules came or went the health is asked for, no more often than the list.
func TestHealthIsAskedForAfterAnInstall(t *testing.T) {
	s := told(t, served, []string{"5s list orders:1", "5s turn"})
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{8 * time.Second, false}, {9 * time.Second, true}, {10 * time.Second, false}} {
		asks := s.turnAt(c.after).Talk.Ask
		if got := slices.Contains(asks, tunnel.ReadHealth); got != c.want {
			t.Errorf("after %s it is asked for %v", c.after, asks)
		}
	}
}
