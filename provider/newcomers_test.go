package provider

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// While renewals of Leases are behind a base that is heard for the first time stays out. That
// is counted and told, and what helps; a heartbeat lets it in once they have caught up.
func TestANewBaseStaysOutWhileRenewalsAreBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{})
		p.owner.holds(true)
		for range 9 {
			p.beats()
			p.passes(10 * time.Second)
		}
		if p.bases.get(shop) != nil || p.owner.isRequested(shop) || p.node() != nil {
			t.Error("it came in")
		}
		told := p.logs.FilterMessage("base refused").All()
		if n := dropped.of("wire renewals_behind"); n != 9 || len(told) != 2 || !strings.Contains(fmt.Sprint(told[0].ContextMap()["error"]), "leases fall behind") {
			t.Errorf("in a minute and a half %d were counted, and told was %v", n, told)
		}
		p.owner.holds(false)
		p.serves()
	})
}

// One that came in before waits for its Node, is not taken for one that does not answer, and
// gets its Node by itself.
func TestABaseThatCameInWaitsForItsNode(t *testing.T) {
	for name, claimed := range map[string]bool{"claimed": true, "not claimed": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _ := admitting(t, Admission{})
				p.owner.grants = claimed
				p.beats() // it answers at once, where it is asked
				p.owner.holds(true)
				for range 10 {
					p.passes(10 * time.Second)
					p.beats()
				}
				if p.bases.get(shop) == nil || p.node() != nil {
					t.Fatalf("it is known: %v; its Node: %v", p.bases.get(shop) != nil, p.node())
				}
				p.owner.holds(false)
				if !claimed {
					p.owner.wins(shop)
				}
				p.passes(4 * time.Second)
				if p.node() == nil || p.notReady() != "" {
					t.Errorf("its Node: %v", p.node())
				}
			})
		})
	}
}

// What is served goes on: a Node that somebody deletes is made again, and one that is there
// is adopted.
func TestBasesWithNodesDoNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{})
		p.serves()
		p.owner.holds(true)
		must(t, p.api.CoreV1().Nodes().Delete(t.Context(), shopNode, metav1.DeleteOptions{}))
		p.passes(3 * time.Second)
		if p.node() == nil {
			t.Error("its Node was not made again")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{}, nodeOf(heard("wire"), ""))
		p.owner.holds(true)
		p.beats()
		p.installs(podOn("orders"))
	})
}
