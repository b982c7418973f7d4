package provider

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Whoever follows VNodes is told of each that comes, changes and goes, and finds it and its
// pods there.
func TestVNodesAreFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		v := VNodesOf(p.Provider)
		var mu sync.Mutex
		came, changed, went := 0, 0, 0
		err := v.Follow(func(was, is *corev1.Node) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case was == nil && is != nil:
				came++
			case is == nil && was != nil:
				went++
			default:
				changed++
			}
		})
		must(t, err)
		select {
		case <-v.Known():
			t.Error("all are known before it runs")
		default:
		}
		p.runs()
		p.serves()
		p.installs(podOn("orders"))
		<-v.Known()
		if all := v.All(); len(all) != 1 || len(v.PodsOn(all[0].Name)) != 1 || len(v.PodsOn("other")) != 0 {
			t.Errorf("there are %v", all)
		}
		p.base.set(func(b *base) { b.silent = true })
		p.passes(20 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if came != 1 || changed == 0 || went != 1 || len(v.All()) != 0 {
			t.Errorf("%d came, %d changed, %d went; %d are there", came, changed, went, len(v.All()))
		}
	})
}
