package mqtttunnel

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel/basetest"
)

// at is how a broker is looked at.
func at(t *testing.T, address string) Config {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Broker: host, Port: n, Environments: []string{"dev"}}
}

// Who looks sees the retained commands of its environments, whether the broker lets it send
// itself a message or not, and changes nothing; what it may not read is named.
func TestLookAt(t *testing.T) {
	for name, probes := range map[string]bool{"it may send itself messages": true, "it may not": false} {
		t.Run(name, func(t *testing.T) {
			broker := newBroker(t)
			broker.Deny(func(filter string) bool {
				return strings.HasSuffix(filter, "/queryAllBiz") || !probes && strings.HasSuffix(filter, probeEnd)
			})
			for _, topic := range []string{"koupleless_dev/b2/uninstallBiz", "koupleless_dev/b1/installBiz", "koupleless_dev/b1/queryAllBiz", "koupleless_prod/b1/installBiz", "koupleless_dev/b1/base/heart"} {
				if err := broker.Publish(topic, []byte("{}"), true); err != nil {
					t.Fatal(err)
				}
			}
			before := slices.Sorted(slices.Values(broker.Retained()))
			cfg := at(t, broker.Address())
			seen, err := LookAt(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			want := Look{Retained: []string{"koupleless_dev/b1/installBiz", "koupleless_dev/b2/uninstallBiz"}, Refused: []string{"koupleless_dev/+/queryAllBiz"}}
			if d := cmp.Diff(want, seen); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, slices.Sorted(slices.Values(broker.Retained()))); d != "" {
				t.Errorf("it changed what is retained:\n%s", d)
			}
		})
	}
}

// A broker that refuses, or that is not there, is an error with its words.
func TestLookAtABrokerThatRefuses(t *testing.T) {
	broker := newBroker(t)
	broker.Admit(func(string, string) bool { return false })
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	cfg := at(t, broker.Address())
	limited, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := LookAt(limited, cfg); err == nil || !strings.Contains(strings.ToLower(err.Error()), "not authorized") && !strings.Contains(err.Error(), "bad user name") {
		t.Errorf("it is refused with %v", err)
	}
	if err := broker.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := LookAt(limited, cfg); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("where none is: %v", err)
	}
}

// What is cleared is exactly what was named: other topics, of other environments and of what
// bases say, stay, and are refused where they are named.
func TestClearRetained(t *testing.T) {
	brokers, err := basetest.Brokers(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for kind, broker := range brokers {
		t.Run(kind, func(t *testing.T) {
			t.Cleanup(func() {
				if err := broker.Stop(); err != nil {
					t.Error(err)
				}
			})
			cfg, other := at(t, broker.Address()), at(t, broker.Address())
			other.Environments = []string{"prod"}
			commands := []string{"koupleless_dev/b1/base/baseline", "koupleless_dev/b1/installBiz", "koupleless_dev/b2/uninstallBiz", `koupleless_dev/ö "x"\/health`}
			retainOn(t, cfg, append([]string{"koupleless_prod/b1/installBiz", "koupleless_dev/b1/base/heart", "koupleless_dev/b1/other"}, commands...)...)
			for _, topic := range []string{"koupleless_prod/b1/installBiz", "koupleless_dev/b1/base/heart", "koupleless_dev/b1/other", "koupleless_dev/+/installBiz", "koupleless_dev//installBiz"} {
				if err := ClearRetained(t.Context(), cfg, []string{commands[0], topic}); err == nil || !strings.Contains(err.Error(), "no topic of a command") {
					t.Errorf("%s: %v", topic, err)
				}
			}
			retained := func(cfg Config) []string {
				t.Helper()
				seen, err := LookAt(t.Context(), cfg)
				if err != nil {
					t.Fatal(err)
				}
				return seen.Retained
			}
			if d := cmp.Diff(commands, retained(cfg)); d != "" {
				t.Fatalf("before (-want +got):\n%s", d)
			}
			if err := ClearRetained(t.Context(), cfg, commands[1:]); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(commands[:1], retained(cfg)); d != "" {
				t.Errorf("after (-want +got):\n%s", d)
			}
			if got := retained(other); len(got) != 1 {
				t.Errorf("of another environment there is %q", got)
			}
		})
	}
}

// retainOn leaves messages retained, as another controller does.
func retainOn(t *testing.T, cfg Config, topics ...string) {
	t.Helper()
	_, err := connectOnce(t.Context(), cfg, func(s *session, ctx context.Context, _ *looking) (Look, error) {
		for _, topic := range topics {
			if err := s.wait(ctx, s.client.Publish(topic, qos, true, []byte("{}")), "retain"); err != nil {
				return Look{}, err
			}
		}
		return Look{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
