//go:build browser

package browser

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"

	"module-controller/e2e/world"
)

// owners is who owns each base, as the page shows it.
func owners(t *tab) map[string]string {
	t.Helper()
	return read[map[string]string](t, `Object.fromEntries([...document.getElementById("bases").closest("section").querySelectorAll("tbody tr")].map(
		(row) => [row.querySelector("th").textContent, row.querySelector("[data-is=Owner]").textContent]))`)
}

// members is who owns each base, by the Leases.
func members(w *world.World) map[string]string {
	w.Helper()
	all := map[string]string{}
	for node, o := range w.Owners() {
		all[node], _, _ = strings.Cut(o.Holder, "_")
	}
	return all
}

// awaitOwners waits until the page shows what the Leases say, and that this replica owns none.
func awaitOwners(t *tab, bases int, gone string) {
	t.Helper()
	t.eventually(func() error {
		shown, is := owners(t), members(t.world)
		for _, owner := range is {
			if owner == gone {
				return fmt.Errorf("%s owns a base still", gone)
			}
		}
		if len(shown) != bases || !maps.Equal(shown, is) {
			return fmt.Errorf("the page shows %v, and the Leases say %v", shown, is)
		}
		return nil
	})
}

// A page that is open follows what happens: the bases of a replica that is killed have
// new owners on it, and nobody loaded it anew.
func TestThePageFollowsOwnership(t *testing.T) {
	const bases = 12
	w := cluster.NewFleet(t, 3, bases)
	tab := newTab(t, w, desktop)
	tab.open(tab.page(0))
	read[bool](tab, `window.mark = true`)
	awaitOwners(tab, bases, "")
	gone := world.ReplicaName(2)
	if before := members(w); !maps.Equal(before, owners(tab)) || w.Shares()[gone] == 0 {
		t.Fatalf("%s owns nothing: %v", gone, before)
	}
	w.Must(w.Replicas[2].Kill())
	awaitOwners(tab, bases, gone)
	if !read[bool](tab, `window.mark === true`) {
		t.Error("the page was loaded anew")
	}
	if moves := read[int](tab, `[...document.getElementById("moves").closest("section").querySelectorAll("tbody tr")].filter((row) => row.textContent.includes("`+gone+`")).length`); moves == 0 {
		t.Errorf("the last moves do not tell of %s", gone)
	}
	tab.checkQuiet()
}

// A page whose replica does not answer says that what it shows is old, and goes on when that
// answers again. One of which something is being copied waits, and says so too.
func TestThePageSaysThatItIsOld(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	tab := newTab(t, w, desktop)
	tab.open(tab.page(0))
	says := func(want string) {
		t.Helper()
		tab.eventually(func() error {
			if is := read[string](tab, `document.getElementById("live").textContent`); !strings.HasPrefix(is, want) || is == "" != (want == "") {
				return fmt.Errorf("it says %q, want %q", is, want)
			}
			return nil
		})
	}
	read[bool](tab, `(getSelection().selectAllChildren(document.querySelector("#bases")), true)`)
	says("Not renewed while text is selected.")
	if kept := read[string](tab, `getSelection().toString()`); !strings.HasPrefix(kept, "Bases: 1") {
		t.Errorf("selected is %q", kept)
	}
	read[bool](tab, `(getSelection().removeAllRanges(), true)`)
	says("")
	tab.checkQuiet()

	w.Must(w.Replicas[0].Signal(syscall.SIGSTOP))
	says("Not renewed: ")
	w.Must(w.Replicas[0].Signal(syscall.SIGCONT))
	says("")
	awaitRenewed(tab)
}
