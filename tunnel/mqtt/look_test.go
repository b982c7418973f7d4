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
