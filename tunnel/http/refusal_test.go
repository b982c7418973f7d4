package httptunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap"

	"module-controller/tunnel/tunneltest"
)

// shown keeps where refusals are to be shown, and why.
type shown struct {
	mu  sync.Mutex
	all []string // mu guards it
}

func (s *shown) refused(from netip.Addr, reason, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, fmt.Sprintf("%s %s", from, reason))
	if why == "" {
		s.all = append(s.all, "without a reason")
	}
}

// take gives what was to be shown since it was asked last.
func (s *shown) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// What is refused is shown at the address that the connection comes from, whatever address or
// identity the heartbeat claims. What may pass in a moment is not.
func TestWhereARefusalIsShown(t *testing.T) {
	at, address := &shown{}, freeAddress(t)
	tun, err := New(Config{Listen: address, Env: "dev", Workloads: fleet(), Allowed: prefixes("127.0.0.0/8"), Refused: at.refused}, zap.NewNop(), &counts{})
	if err != nil {
		t.Fatal(err)
	}
	run(t, tun, &tunneltest.RecordingSink{})
	url := "http://" + address
	for _, c := range []struct{ from, body, shown string }{
		{"127.0.0.11", beat("b", "127.0.0.11", 1238), ""},
		{"127.0.0.12", beat("b", "127.0.0.11", 1238), "127.0.0.12 sender_mismatch"},
		{"127.0.0.13", beat("b", "127.0.0.13", 1238), "127.0.0.13 wrong_identity"},
		{"127.0.0.66", beat("127.0.0.11", "127.0.0.66", 1238), "127.0.0.66 no_workload"},
		{"127.0.0.12", "junk", "127.0.0.12 not_json"},
		{"127.0.0.99", beat("b", "127.0.0.99", 1238), ""}, // it cannot be found out yet
	} {
		say(t, from(t, c.from), url, c.body)
		var want []string
		if c.shown != "" {
			want = append(want, c.shown)
		}
		if got := at.take(); !slices.Equal(got, want) {
			t.Errorf("%s from %s is shown at %q, want %q", c.body, c.from, got, want)
		}
	}
}
