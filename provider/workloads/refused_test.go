package workloads

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
)

// told keeps what Events would be written.
type told struct {
	record.EventRecorder

	mu     sync.Mutex
	events []string // mu guards it
}

func (t *told) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	on := object.(*corev1.ObjectReference)
	t.events = append(t.events, fmt.Sprintf("%s %s/%s %s %s %s: %s", on.Kind, on.Namespace, on.Name, on.UID, kind, reason, fmt.Sprintf(format, args...)))
}

func (t *told) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}

// asked counts how often the API server was asked for Pods with an address.
func (c *cluster) asked() (n int) {
	for _, a := range c.api.Actions() {
		if list, is := a.(k8stesting.ListAction); is && strings.HasPrefix(list.GetListRestrictions().Fields.String(), "status.podIP=") {
			n++
		}
	}
	return n
}

// The Pod that alone has the address of the connection is told of, and no other: not one that
// shares it, nor a module's, which has its base's address, nor one that has ended.
func TestOnWhichPodARefusalIsTold(t *testing.T) {
	const why = "label the Pod"
	on := func(name string) []string {
		return []string{"Pod shop/" + name + " uid-" + name + " Warning HeartbeatRefused: the base in this Pod is refused (wrong_identity): " + why}
	}
	for name, c := range map[string]struct {
		pods []runtime.Object
		want []string
	}{
		"its own":                          {[]runtime.Object{aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2")}, on("a")},
		"in IPv6 too":                      {[]runtime.Object{aPod("a", "fd00::1", func(p *corev1.Pod) { p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: "10.0.0.1"}) })}, on("a")},
		"one with a module":                {[]runtime.Object{aPod("a", "10.0.0.1"), aPod("m", "10.0.0.1", module, onNode)}, on("a")},
		"one that has ended":               {[]runtime.Object{aPod("a", "10.0.0.1"), aPod("b", "10.0.0.1", ended)}, on("a")},
		"one that ends":                    {[]runtime.Object{aPod("a", "10.0.0.1", terminating)}, on("a")},
		"not labelled":                     {[]runtime.Object{aPod("a", "10.0.0.1", unlabelled), aPod("b", "10.0.0.2")}, on("a")},
		"two have the address":             {[]runtime.Object{aPod("a", "10.0.0.1"), aPod("b", "10.0.0.1")}, nil},
		"its machine's":                    {[]runtime.Object{aPod("a", "10.0.0.1", hostNetwork)}, nil},
		"not labelled, and its machine's":  {[]runtime.Object{aPod("a", "10.0.0.1", unlabelled, hostNetwork)}, nil},
		"not labelled, two":                {[]runtime.Object{aPod("a", "10.0.0.1", unlabelled), aPod("b", "10.0.0.1", unlabelled)}, nil},
		"a module's alone":                 {[]runtime.Object{aPod("m", "10.0.0.1", unlabelled, onNode)}, nil},
		"nobody's":                         {[]runtime.Object{aPod("b", "10.0.0.2")}, nil},
		"an ended one's, and not labelled": {[]runtime.Object{aPod("a", "10.0.0.1", unlabelled, ended)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := newCluster(t, Config{}, c.pods...).run(t)
			at := netip.MustParseAddr("::ffff:10.0.0.1")
			c2.RefusedAt(at, "wrong_identity", why)
			c2.RefusedAt(netip.MustParseAddr("10.0.0.77"), "last", why) // is looked for after the one before
			if c2.at(at.Unmap()) == nil {
				eventually(t, "both were looked for", func() bool { return c2.asked() == 2 })
			}
			eventually(t, fmt.Sprintf("told %q", c.want), func() bool { return slices.Equal(c2.told.all(), c.want) })
		})
	}
}

// What is refused again is told again once in ten minutes, by Pod and reason; whoever is
// refused, there is a limit in all.
func TestRefusalsAreToldOnceInAWhile(t *testing.T) {
	c := newCluster(t, Config{})
	now := time.Now()
	tell := func(name, reason string, after time.Duration) int {
		before := len(c.told.all())
		c.refusals.tell(keptOf(aPod(name, "10.0.0.1")), reason, "why", now.Add(after))
		return len(c.told.all()) - before
	}
	for _, step := range []struct {
		name, reason string
		after        time.Duration
		told         int
	}{
		{"a", "wrong_identity", 0, 1},
		{"a", "wrong_identity", time.Second, 0},
		{"a", "sender_mismatch", time.Second, 1},
		{"b", "wrong_identity", time.Second, 1},
		{"a", "wrong_identity", toldAgain - time.Second, 0},
		{"a", "wrong_identity", toldAgain, 1},
		{"a", "wrong_identity", toldAgain + time.Second, 0},
	} {
		if n := tell(step.name, step.reason, step.after); n != step.told {
			t.Errorf("%s for %s after %s: told %d times, want %d", step.name, step.reason, step.after, n, step.told)
		}
	}
	flood := 0
	for i := range 1000 {
		flood += tell(fmt.Sprint("pod-", i), "wrong_identity", toldAgain+time.Minute)
	}
	if flood != eventsBurst {
		t.Errorf("%d of 1000 at once were told, want %d", flood, eventsBurst)
	}
	if tell("pod-999", "wrong_identity", toldAgain+2*time.Minute) != 1 {
		t.Error("one that was left out is not told later")
	}
}

// Heartbeats from nowhere cost few questions: one for each address in a while, and in all as
// many as wait and have their turn.
func TestHeartbeatsFromNowhereCostFewQuestions(t *testing.T) {
	c := newCluster(t, Config{}).run(t)
	for range 3 {
		for i := range 1000 {
			c.RefusedAt(netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)}), "no_workload", "label it")
		}
		c.RefusedAt(netip.MustParseAddr("10.9.0.0"), "no_workload", "label it")
	}
	eventually(t, "some were asked for", func() bool { return c.asked() == looksBurst })
	if n := c.asked(); n > looksBurst+1 { // one more has its turn after five seconds
		t.Errorf("%d questions", n)
	}
}

// The API server's refusal to answer tells nothing of nobody.
func TestAQuestionThatIsNotAnswered(t *testing.T) {
	c := newCluster(t, Config{}, aPod("a", "10.0.0.1", unlabelled)).run(t)
	c.api.PrependReactor("list", "pods", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, errors.New("away") })
	if err := c.refusals.find(t.Context(), stranger{netip.MustParseAddr("10.0.0.1"), "no_workload", "label it"}); err == nil {
		t.Error("it was found")
	}
	if all := c.told.all(); len(all) > 0 {
		t.Errorf("told %q", all)
	}
}

// A base of a workload that was proved is told of on that very Pod.
func TestARefusedWorkload(t *testing.T) {
	c := newCluster(t, Config{}, aPod("a", "10.0.0.1"), aPod("b", "10.0.0.2", ended)).run(t)
	for _, workload := range []string{"shop/a/uid-of-before", "shop/other/uid-a", "shop/b/uid-b", "elsewhere/a/uid-a", "junk", "", "shop/a/uid-a", "shop/a/uid-a"} {
		c.Refused(workload, "no_answer", "it answered nothing")
	}
	want := "Pod shop/a uid-a Warning HeartbeatRefused: the base in this Pod is refused (no_answer): it answered nothing"
	if all := c.told.all(); len(all) != 1 || all[0] != want {
		t.Errorf("told %q, want %q", all, want)
	}
}
