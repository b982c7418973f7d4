package httptunnel

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/tunnel"
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

// An answer that is not believed is told of: whose it is, why, and what helps.
func TestAnAnswerThatIsDroppedIsToldOf(t *testing.T) {
	for reason, answer := range map[string]string{"not_json": "<html>", "wrong_type": `{"code":1}`} {
		t.Run(reason, func(t *testing.T) {
			r := startReplica(t)
			h := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
			r.tun.Follow(h)
			if err := r.tun.Do(t.Context(), h.Base, tunnel.Command{Verb: tunnel.ListModules}); err != nil {
				t.Fatal(err)
			}
			told := func() *observer.ObservedLogs {
				return r.logs.FilterMessage("answer dropped").FilterField(zap.String("reason", reason))
			}
			tunneltest.Await(t, "a line", func() bool { return told().Len() > 0 })
			if m := told().All()[0].ContextMap(); m["identity"] != h.Base.Identity || m["remedy"] == "" || m["error"] == "" {
				t.Errorf("told is %v", m)
			}
			r.tun.Unfollow(h.Base)
		})
	}
}
