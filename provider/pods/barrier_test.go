package pods

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// What Freshness is follows from the version that was read, the one that the cache has
// reached, and how long ago the claim was.
func TestFreshness(t *testing.T) {
	for _, c := range []struct {
		name  string
		claim claim
		seen  string
		after time.Duration
		want  Freshness
	}{
		{"nothing was read yet", claim{}, "100", 0, Unknown},
		{"nothing was read just before the timeout", claim{}, "100", barrierTimeout - 1, Unknown},
		{"nothing was read in time", claim{}, "100", barrierTimeout, Behind},
		{"reached", claim{read: true, version: "100"}, "100", 0, Current},
		{"passed", claim{read: true, version: "99"}, "100", time.Hour, Current},
		{"not reached", claim{read: true, version: "101"}, "100", 0, Behind},
		{"the cache's version is not known", claim{read: true, version: "101"}, "", 0, Behind},
		{"the read gave no version", claim{read: true}, "100", 0, Behind},
		{"confirmed without a version", claim{confirmed: true}, "", 0, Current},
		{"confirmed before it was reached", claim{confirmed: true, read: true, version: "101"}, "100", 0, Current},
	} {
		c.claim.at = noon
		b := newBarrier()
		b.claims["a"] = &c.claim
		for range 2 { // it changes nothing
			if got := b.freshness("a", c.seen, noon.Add(c.after)); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
	}
	if got := newBarrier().freshness("a", "100", noon); got != Unknown {
		t.Errorf("a Node that is not served: %s", got)
	}
}

func TestFreshnessIsOrdered(t *testing.T) {
	want := []string{"unknown", "behind", "current", "Freshness(3)"}
	for i, f := range []Freshness{Unknown, Behind, Current, Current + 1} {
		if int(f) != i || f.String() != want[i] {
			t.Errorf("value %d is %d, %s", i, f, f)
		}
	}
}

// One read serves all claims that were gained before it was sent, also those that are
// told of later. A later read moves nobody's goal.
func TestAReadServesTheClaimsBefore(t *testing.T) {
	b := newBarrier()
	b.want("before", noon.Add(-time.Second))
	b.want("same", noon)
	b.record(noon, "100")
	b.want("told later", noon.Add(-time.Millisecond))
	b.want("after", noon.Add(time.Second))
	expect := func(want map[string]Freshness) {
		t.Helper()
		for node, f := range want {
			if got := b.freshness(node, "150", noon.Add(time.Second)); got != f {
				t.Errorf("claimed %s: %s, want %s", node, got, f)
			}
		}
	}
	expect(map[string]Freshness{"before": Current, "same": Behind, "told later": Current, "after": Unknown})
	if !b.due() {
		t.Error("two claims wait, and no read is due")
	}
	b.record(noon.Add(2*time.Second), "200")
	expect(map[string]Freshness{"before": Current, "same": Behind, "told later": Current, "after": Behind})
	if b.due() {
		t.Error("a read is due, and no claim waits")
	}
	b.want("before", noon.Add(3*time.Second))
	b.forget("told later")
	expect(map[string]Freshness{"before": Unknown, "told later": Unknown})
}

// listing is a client whose lists of pods have growing versions, from 101 on, while it
// does not fail.
func listing(fails *atomic.Bool, pods ...corev1.Pod) *fake.Clientset {
	client := fake.NewClientset()
	version := 100
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		if fails.Load() {
			return true, nil, errors.New("no")
		}
		version++
		return true, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)}, Items: pods}, nil
	})
	return client
}

// A version is read once for all that wait, and again for those that are claimed later.
// What fails is not read until another claim comes: until then, lists serve.
func TestVersionsAreReadAsTheyAreWanted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		b := newBarrier()
		ctx, end := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { b.run(ctx, listing(&fails), zap.NewNop()) })
		defer run.Wait()
		defer end()
		claims := func(nodes ...string) {
			for _, node := range nodes {
				b.want(node, time.Now().Add(-time.Millisecond))
			}
			synctest.Wait()
		}
		expect := func(node, version string, want Freshness) {
			t.Helper()
			if got := b.freshness(node, version, time.Now()); got != want {
				t.Errorf("%s at version %s: %s, want %s", node, version, got, want)
			}
		}
		claims("a", "b")
		expect("a", "101", Current)
		expect("b", "101", Current)
		expect("a", "100", Behind)
		<-time.After(time.Second)
		claims("c")
		expect("c", "101", Behind)
		expect("c", "102", Current)
		expect("a", "101", Current)
		<-time.After(time.Second)
		fails.Store(true)
		claims("d")
		expect("d", "1000", Unknown)
		fails.Store(false)
		<-time.After(time.Second)
		expect("d", "1000", Behind)
		claims("e")
		expect("d", "103", Current)
	})
}

// Where no pod changes, the cache never reaches the version: the Node's own pods are
// compared, and once they are as new the Node stays Current.
func TestWhoIsBehindIsConfirmedByAList(t *testing.T) {
	pod := podOn("one", "a", "1")
	pod.ResourceVersion = "90"
	old := pod.DeepCopy()
	old.ResourceVersion = "89"
	var fails atomic.Bool
	p := New(Deps{Client: listing(&fails, *pod), Log: zap.NewNop()}, Hooks{Address: noAddress})
	p.Serve("a", noon)
	confirm := func(seen *corev1.Pod, after time.Duration) Freshness {
		return p.Confirm(t.Context(), "a", "50", []plan.Pod{{Pod: seen}}, noon.Add(after))
	}
	fails.Store(true)
	if f := confirm(pod, 0); f != Unknown {
		t.Errorf("while the version is read: %s", f)
	}
	if f := confirm(pod, time.Second); f != Behind {
		t.Errorf("the API server does not answer: %s", f)
	}
	fails.Store(false)
	if f := confirm(pod, time.Second); f != Behind {
		t.Errorf("a moment after it was asked: %s", f)
	}
	if f := confirm(old, 2*time.Second); f != Behind {
		t.Errorf("with an older pod: %s", f)
	}
	if f := p.Freshness("a", "50", noon.Add(2*time.Second)); f != Behind {
		t.Errorf("before it was confirmed: %s", f)
	}
	if f := confirm(pod, 3*time.Second); f != Current {
		t.Errorf("with the same pod: %s", f)
	}
	fails.Store(true)
	if f := confirm(old, time.Hour); f != Current {
		t.Errorf("once it was confirmed: %s", f)
	}
	p.Serve("a", noon.Add(time.Hour))
	if f := p.Freshness("a", "50", noon.Add(time.Hour)); f != Unknown {
		t.Errorf("claimed again: %s", f)
	}
}

// Where the watch lags, a Node's pods are listed less and less often, those of all Nodes at
// a rate, and a Node that is claimed anew at once.
func TestListsHaveAPace(t *testing.T) {
	b := newBarrier()
	b.want("a", noon)
	var at []time.Duration
	for now := time.Duration(0); now < 20*time.Second; now += 50 * time.Millisecond {
		if b.mayList("a", noon.Add(now)) {
			at = append(at, now)
		}
	}
	var want []time.Duration
	for _, ms := range []int{0, 100, 300, 700, 1500, 3100, 6300, 11300, 16300} {
		want = append(want, time.Duration(ms)*time.Millisecond)
	}
	if !slices.Equal(at, want) {
		t.Errorf("listed at %v, want %v", at, want)
	}
	later := noon.Add(20 * time.Second)
	if b.want("a", later); !b.mayList("a", later) {
		t.Error("claimed anew, it is not listed at once")
	}
	if b.mayList("b", later) {
		t.Error("a Node that is not served is listed")
	}
	lists := 0
	for i := range 10 * listRate {
		node := strconv.Itoa(i)
		b.want(node, later)
		if b.mayList(node, later.Add(time.Second)) {
			lists++
		}
	}
	if lists != listRate {
		t.Errorf("%d Nodes were listed at once", lists)
	}
}

// A new owner's view of pods may be older than its claim.
func TestAViewOfPodsIsAsNewAsAList(t *testing.T) {
	pod := func(uid, version string) corev1.Pod {
		return corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid), ResourceVersion: version}}
	}
	live := &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "100"}, Items: []corev1.Pod{pod("a", "90"), pod("b", "95")}}
	for _, c := range []struct {
		name string
		seen []corev1.Pod
		gone string
		want bool
	}{
		{"the same", []corev1.Pod{pod("a", "90"), pod("b", "95")}, "", true},
		{"newer", []corev1.Pod{pod("a", "101"), pod("b", "95"), pod("c", "102")}, "", true},
		{"one gone from the API that waits for its base", []corev1.Pod{pod("a", "90"), pod("b", "95"), pod("c", "80")}, "c", true},
		{"one is missing", []corev1.Pod{pod("a", "90")}, "", false},
		{"one is older", []corev1.Pod{pod("a", "90"), pod("b", "94")}, "", false},
		{"one whose version cannot be read", []corev1.Pod{pod("a", ""), pod("b", "95")}, "", false},
		{"one was deleted", []corev1.Pod{pod("a", "90"), pod("b", "95"), pod("c", "80")}, "", false},
	} {
		var seen []plan.Pod
		for _, p := range c.seen {
			seen = append(seen, plan.Pod{Pod: &p, Gone: string(p.UID) == c.gone})
		}
		if got := upToDate(seen, live); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
