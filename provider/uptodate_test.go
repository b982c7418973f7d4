package provider

import (
	"context"
	"strconv"
	"sync"
	"testing"
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

// One read serves all claims that were gained before it was sent.
func TestAViewIsAsNewAsTheClaimsBefore(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f := newFence()
	if reached, covered := f.reached(noon, "7"); reached || covered {
		t.Error("nothing was read")
	}
	f.sent, f.version = noon, "100"
	for _, c := range []struct {
		claimed          time.Duration
		seen             string
		reached, covered bool
	}{
		{-time.Second, "100", true, true},
		{-time.Second, "99", false, true},
		{-time.Second, "", false, true},
		{0, "100", false, false},
		{time.Second, "200", false, false},
	} {
		if reached, covered := f.reached(noon.Add(c.claimed), c.seen); reached != c.reached || covered != c.covered {
			t.Errorf("claimed %s after it was sent, version %q seen: reached %v, covered %v", c.claimed, c.seen, reached, covered)
		}
	}
}

// It is read once for all that want it, and again for those that want it later.
func TestVersionsAreReadAsTheyAreWanted(t *testing.T) {
	client := fake.NewClientset()
	version := 100
	client.PrependReactor("list", "pods", func(clienttesting.Action) (bool, runtime.Object, error) {
		version++
		return true, &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(version)}}, nil
	})
	f := newFence()
	ctx, end := context.WithCancel(t.Context())
	var run sync.WaitGroup
	run.Go(func() { f.run(ctx, client, zap.NewNop()) })
	for want := 101; want < 104; want++ {
		claimed := time.Now()
		f.want(claimed)
		for covered := false; !covered; {
			_, covered = f.reached(claimed, "0")
		}
		if f.want(claimed); f.version != strconv.Itoa(want) {
			t.Errorf("version %s, want %d", f.version, want)
		}
	}
	end()
	run.Wait()
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
