package election

import (
	"testing"
	"testing/synctest"
	"time"
)

// The members know a lost connection by the hash that its replica told last.
func TestALostConnectionIsKnownByItsHash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		for _, hash := range []string{"first", "second"} {
			r.Will(hash)
			pause(t.Context(), time.Second)
			if got := r.store.snapshot("ns")[0].Annotations[noteWill]; got != hash {
				t.Errorf("its Lease tells %q, want %q", got, hash)
			}
		}
		for hash, want := range map[string]bool{"second": true, "first": false, "": false} {
			if r.Disconnected(hash) != want {
				t.Errorf("%q is believed: %t, want %t", hash, !want, want)
			}
		}
		r.end(t)
	})
}
