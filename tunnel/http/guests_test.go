package httptunnel

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"module-controller/tunnel"
)

// A flood of identities from one sender is let in slowly and up to a number, while others
// come in at once, and those who are in stay.
func TestAFloodOfIdentities(t *testing.T) {
	g, now := newGuests(1, 100), time.Now()
	taken, reasons := 0, map[string]int{}
	for i := range 100_000 { // in a minute
		at := now.Add(time.Duration(i) * time.Minute / 100_000)
		if no := g.admit("attacker", fmt.Sprint("a", i), at); no == nil {
			taken++
		} else {
			reasons[no.reason]++
		}
	}
	if taken < burst+50 || taken > burst+60 || reasons["new_identity_rate"] != 100_000-taken {
		t.Errorf("%d of 100000 were taken in a minute, refused: %v", taken, reasons)
	}
	now = now.Add(time.Minute)
	if no := g.admit("sound", "b", now); no != nil {
		t.Errorf("another sender is refused: %v", no.err)
	}
	if no := g.admit("attacker", "a0", now); no != nil {
		t.Errorf("an identity that is in is refused: %v", no.err)
	}
	for i := range 60 {
		now = now.Add(2 * time.Second)
		_ = g.admit("attacker", fmt.Sprint("more", i), now)
	}
	no := g.admit("attacker", "one more", now)
	if no == nil || no.reason != "too_many_identities" || no.status != http.StatusTooManyRequests {
		t.Errorf("beyond the number: %+v", no)
	}
	if no := g.admit("attacker", "one more", now.Add(forgetAfter+time.Second)); no != nil {
		t.Errorf("once the others were silent: %v", no.err)
	}
}

// Limits that change hold from then on, also for a sender that is known.
func TestLimitsOfSendersMayChange(t *testing.T) {
	perSecond, most, now := 1, 100, time.Now()
	g := newGuests(0, 0)
	g.limits = func() (int, int) { return perSecond, most }
	taken := func() (n int) {
		for i := range 1000 {
			if g.admit("s", fmt.Sprint(now.UnixNano(), i), now) == nil {
				n++
			}
		}
		return n
	}
	if n := taken(); n != burst {
		t.Errorf("%d identities at once, want %d", n, burst)
	}
	perSecond = 2
	_ = g.admit("s", "0", now)
	now = now.Add(time.Minute)
	if n := taken(); n != 2*burst {
		t.Errorf("with another rate %d identities at once, want %d", n, 2*burst)
	}
	now, most = now.Add(2*time.Minute), 3
	if no := g.admit("s", "one more", now); no == nil || no.reason != "too_many_identities" {
		t.Errorf("beyond another number: %+v", no)
	}
}

func TestHeartbeatsOfOneIdentityAreBounded(t *testing.T) {
	g, now := newGuests(1, 8), time.Now()
	taken := 0
	for range 1000 {
		if g.admit("s", "b", now) == nil {
			taken++
		}
	}
	if taken != beatsBurst {
		t.Errorf("%d heartbeats at once were taken, want %d", taken, beatsBurst)
	}
	if no := g.admit("s", "c", now); no != nil {
		t.Errorf("its other base is refused: %v", no.err)
	}
	if no := g.admit("s", "b", now.Add(12*time.Second)); no != nil {
		t.Errorf("12 s later: %v", no.err)
	}
}

// What a sender is bounded by is itself, not what it says.
func TestAWorkloadSpeaksForFew(t *testing.T) {
	_, s, url := start(t, func(c *Config) { c.Auth, c.Workloads, c.MaxIdentities = AuthPod, fleet(), 2 })
	one, two := from(t, "127.0.0.11"), from(t, "127.0.0.12")
	for i, want := range []int{200, 200, 429, 429} {
		if got := say(t, one, url, beat(fmt.Sprint("b", i), "127.0.0.11", 1238)); got != want {
			t.Errorf("identity %d: %d, want %d", i, got, want)
		}
	}
	if got := say(t, two, url, beat("c", "127.0.0.12", 1238)); got != http.StatusOK {
		t.Errorf("another's: %d", got)
	}
	heard := map[tunnel.BaseID]bool{}
	for _, h := range s.Recorded().Beats {
		heard[h.Base] = true
	}
	if len(heard) != 3 {
		t.Errorf("heard %v", heard)
	}
}

// A replica that has just started takes in all that are known elsewhere, at once: what each
// sender may speak for by default fits into what it may begin at once, and many may be
// behind one address in the open mode.
func TestAReplicaThatStartsRefusesNoBase(t *testing.T) {
	for auth, bases := range map[Auth]int{AuthPod: 8, AuthToken: 8, AuthAddress: 8, AuthAnyone: 1000} {
		c := Config{Auth: auth}.Complete()
		g, now := newGuests(c.NewIdentities, c.MaxIdentities), time.Now()
		for i := range bases {
			if no := g.admit("sender", fmt.Sprint("b", i), now); no != nil {
				t.Errorf("%s: base %d: %v", auth, i, no.err)
				break
			}
		}
	}
}
