package mqtttunnel

import (
	"fmt"
	"testing"
	"time"

	"module-controller/tunnel"
)

// A base that sends large messages all the time has them decoded at a rate, and takes
// nothing from others; small ones cost nothing.
func TestLargeMessagesHaveARate(t *testing.T) {
	l := newLargeMessages()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	message := func(base string, bytes int) received {
		return received{base: tunnel.BaseID{Env: "dev", Identity: base}, payload: make([]byte, bytes)}
	}
	sent, decoded := 0, 0
	for range 10 * 32 { // for ten seconds
		now = now.Add(time.Second / 32)
		sent++
		if l.permit(message("noisy", 250<<10), now) {
			decoded++
		}
		if sent%10 == 0 && !l.permit(message("sound", 100<<10), now) {
			t.Fatalf("a list of another base is refused after %d", sent)
		}
		if !l.permit(message("noisy", largeBytes), now) {
			t.Fatal("a small message is refused")
		}
	}
	if most := (largeBurst+10*largeRate)/(250<<10) + 1; decoded > most || decoded < most-2 {
		t.Errorf("of %d lists %d are decoded, want %d", sent, decoded, most)
	}
	for n := range 2 * largeBases {
		l.permit(message(fmt.Sprint(n), largeBytes+1), now)
	}
	if n := l.rates.Len(); n != largeBases {
		t.Errorf("the rates of %d bases are known", n)
	}
}
