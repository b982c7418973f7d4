package provider

import (
	"sync"
	"testing"

	"module-controller/tunnel"
)

func TestARegistryFindsABaseByItsNode(t *testing.T) {
	r := newRegistry()
	made := 0
	add := func() *entry {
		return r.add(shop, func() *entry {
			made++
			return &entry{id: shop, node: shopNode}
		})
	}
	first := add()
	if add() != first || made != 1 || r.get(shop) != first || r.onNode(shopNode) != first || len(r.all()) != 1 {
		t.Errorf("%d records were made: %v", made, r.all())
	}
	r.remove(first)
	if r.get(shop) != nil || r.onNode(shopNode) != nil || len(r.all()) != 0 {
		t.Errorf("removed, it has %v", r.all())
	}
	if add() == first {
		t.Error("a base that was removed comes back as it was")
	}
}

// Whoever discovers a base first, there is one record of it.
func TestOneBaseHasOneRecord(t *testing.T) {
	r := newRegistry()
	var wg sync.WaitGroup
	found := make([]*entry, 50)
	for i := range found {
		wg.Go(func() { found[i] = r.add(shop, func() *entry { return &entry{id: shop, node: shopNode} }) })
	}
	wg.Wait()
	for _, e := range found {
		if e != r.get(shop) {
			t.Fatal("there are two records")
		}
	}
}

// A reader keeps the links that it was given while others change.
func TestLinksAreReplaced(t *testing.T) {
	r := newRegistry()
	r.setLink(tunnel.Link{Tunnel: "mqtt", Up: true})
	before := r.allLinks()
	r.setLink(tunnel.Link{Tunnel: "mqtt"})
	r.setLink(tunnel.Link{Tunnel: "http", Up: true})
	if len(before) != 1 || !before["mqtt"].Up {
		t.Errorf("what was given before is now %v", before)
	}
	if now := r.allLinks(); now["mqtt"].Up || !now["http"].Up {
		t.Errorf("the links are %v", now)
	}
}
