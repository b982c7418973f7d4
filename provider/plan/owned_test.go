package plan

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func generation(n int64) func(*Pod) { return func(p *Pod) { p.Generation = n } }

// What the planner sets is told to who writes it, and nothing else is.
func TestOwned(t *testing.T) {
	pod := podFor("p", "orders:1", generation(1), initContainer("istio-init"), func(p *Pod) {
		p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "debug", Image: "busybox"}}}
	})
	leaves := corev1.PodStatus{}
	tellLeaving(&leaves, "why")
	fields, conditions := map[string]bool{}, map[corev1.PodConditionType]bool{}
	serving := statusIn(Modules(onBase("orders:1 activated").with(pod)), "p").Status
	pod.Status = serving
	terminating(&pod)
	for _, s := range []corev1.PodStatus{serving, statusIn(Modules(onBase().with(pod)), "p").Status, leaves} {
		raw, err := json.Marshal(s)
		set := map[string]any{}
		if err := json.Unmarshal(raw, &set); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		for name := range set {
			fields[name] = true
		}
		for _, c := range s.Conditions {
			conditions[c.Type] = true
		}
	}
	want := map[string]bool{"conditions": true}
	for _, name := range OwnedFields {
		want[name] = true
	}
	if d := cmp.Diff(want, fields); d != "" {
		t.Errorf("fields (-told +set):\n%s", d)
	}
	all := map[corev1.PodConditionType]bool{corev1.PodScheduled: true}
	for _, kind := range OwnedConditions {
		all[kind] = true
	}
	if d := cmp.Diff(all, conditions); d != "" {
		t.Errorf("conditions (-told +set):\n%s", d)
	}
}

// A status tells of which generation of the pod it is, where that is what was planned for.
func TestObservedGeneration(t *testing.T) {
	url := urlOf("orders", "1")
	image := func(image string) func(*Pod) {
		return func(p *Pod) {
			p.Declared = p.Spec.DeepCopy()
			p.Declared.Containers[0].Image = image
		}
	}
	observed := func(n int64) func(*Pod) {
		return func(p *Pod) {
			p.Status = statusIn(Modules(onBase("orders:1 activated").with(Pod{Pod: p.Pod})), "p").Status
			p.Status.ObservedGeneration = n
			for i := range p.Status.Conditions {
				p.Status.Conditions[i].ObservedGeneration = n
			}
		}
	}
	for _, c := range []struct {
		name string
		pod  Pod
		want int64
	}{
		{"a new pod", podFor("p", "orders:1", generation(1), image(url)), 1},
		{"one that was updated", podFor("p", "orders:1", observed(1), generation(2), image(url)), 2},
		{"the new image is not handed over yet", podFor("p", "orders:1", observed(1), generation(2), image("file:///new.jar")), 1},
		{"an API server that numbers none", podFor("p", "orders:1", image(url)), 0},
		{"an API server that drops it", podFor("p", "orders:1", observed(0), generation(1)), 0},
		{"a deletion alone", podFor("p", "orders:1", observed(1), generation(2), terminating), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.pod.Status.Conditions = append(c.pod.Status.Conditions, corev1.PodCondition{Type: "theirs", ObservedGeneration: 7})
			s := statusIn(Modules(onBase("orders:1 activated").with(c.pod)), "p").Status
			if s.ObservedGeneration != c.want {
				t.Errorf("observed %d, want %d", s.ObservedGeneration, c.want)
			}
			for _, is := range s.Conditions {
				want := c.want
				if !slices.Contains(OwnedConditions, is.Type) {
					want = 7
				}
				if is.Type != corev1.PodScheduled && is.ObservedGeneration != want {
					t.Errorf("condition %s observed %d, want %d", is.Type, is.ObservedGeneration, want)
				}
			}
		})
	}
}

// A plain pod is written twice until it is Ready, and once when it has ended; later looks
// write nothing, and no Event tells what the statuses do.
func TestHowOftenAPodIsWritten(t *testing.T) {
	s := newSim(overMQTT)
	s.round() // its list is known
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	pod.Generation = 1
	writes, told := 0, 0
	rounds := func() {
		for range 10 {
			was := *pod.Status.DeepCopy()
			out := s.round()
			told += len(out.Events)
			for _, st := range out.Statuses {
				if !cmp.Equal(was, st.Status) {
					writes++
				}
			}
		}
	}
	rounds()
	if writes != 2 || told != 0 || !isTrue(s.pods[0].Status, corev1.PodReady) {
		t.Errorf("until it is ready it is written %d times, and told %d times", writes, told)
	}
	writes, told = 0, 0
	s.delete("p")
	s.pods[0].Generation, s.pods[0].DeletionTimestamp = 2, &metav1.Time{Time: s.now.Add(30 * time.Second)}
	rounds()
	if writes != 1 || told != 0 || len(s.pods) > 0 {
		t.Errorf("until it has ended it is written %d times, and told %d times; %d pods", writes, told, len(s.pods))
	}
}
