package httptunnel

import (
	"errors"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"module-controller/tunnel"
)

// Who asks what to install must prove as much as with a heartbeat; it claims no address.
func TestWhoMayAskWhatToInstall(t *testing.T) {
	from := func(source string) evidence { return evidence{source: addr(source)} }
	for name, c := range map[string]struct {
		auth     Auth
		e        evidence
		identity string
		refused  string
	}{
		"pod: its own":                        {AuthPod, from("127.0.0.11"), "b", ""},
		"pod: its address":                    {AuthPod, from("127.0.0.11"), "127.0.0.11", ""},
		"pod: no workload":                    {AuthPod, from("127.0.0.66"), "b", "no_workload"},
		"pod: not known yet":                  {AuthPod, from("127.0.0.99"), "b", "unreviewed"},
		"pod: declared by another":            {AuthPod, from("127.0.0.11"), "orders", "wrong_identity"},
		"pod: the address of another":         {AuthPod, from("127.0.0.12"), "127.0.0.11", "wrong_identity"},
		"pod: the token of another":           {AuthPod, evidence{source: addr("127.0.0.12"), token: "token-one"}, "b", "sender_mismatch"},
		"token: its own, through NAT":         {AuthToken, evidence{source: addr("127.0.0.66"), token: "token-one"}, "b", ""},
		"token: none":                         {AuthToken, from("127.0.0.11"), "b", "unauthorized"},
		"token: nobody's":                     {AuthToken, evidence{source: addr("127.0.0.11"), token: "junk"}, "b", "unauthorized"},
		"token: the address of another":       {AuthToken, evidence{source: addr("127.0.0.66"), token: "token-two"}, "127.0.0.11", "wrong_identity"},
		"certificate: of the identity":        {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"b"}}, "b", ""},
		"certificate: of another":             {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"a"}}, "b", "wrong_identity"},
		"certificate: none":                   {AuthCertificate, from("127.0.0.66"), "b", "unauthorized"},
		"address: any name":                   {AuthAddress, from("127.0.0.66"), "b", ""},
		"address: the address of another":     {AuthAddress, from("127.0.0.66"), "127.0.0.11", "wrong_identity"},
		"anyone":                              {AuthAnyone, from("127.0.0.66"), "b", ""},
		"an unknown mode is no weaker: pod's": {"", from("127.0.0.66"), "b", "no_workload"},
	} {
		a := admission{c.auth, fleet(), newBudget()}
		no := a.mayAsk(t.Context(), c.e, c.identity)
		switch {
		case (no != nil) != (c.refused != ""):
			t.Errorf("%s: refused %+v, want %q", name, no, c.refused)
		case no != nil && no.reason != c.refused:
			t.Errorf("%s: refused for %s, want %s", name, no.reason, c.refused)
		}
	}
}

// The question is answered with an empty list to whoever may ask it, and begins nothing: it is
// no heartbeat.
func TestWhatToInstallIsAnsweredOrRefused(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const good = `{"identity":"b","name":"n","version":"1","clusterName":"c"}`
	anyone := func(c *Config) { c.TokenFile = token }
	byAddress := func(network string) func(*Config) {
		return func(c *Config) {
			c.Auth, c.TokenFile, c.Allowed = AuthAddress, token, []netip.Prefix{netip.MustParsePrefix(network)}
		}
	}
	for name, c := range map[string]struct {
		change      func(*Config)
		token, body string
		want        int
	}{
		"good":                 {anyone, "secret", good, http.StatusOK},
		"no token":             {anyone, "", good, http.StatusUnauthorized},
		"wrong token":          {anyone, "wrong", good, http.StatusUnauthorized},
		"not JSON":             {anyone, "secret", "hello", http.StatusBadRequest},
		"a list":               {anyone, "secret", "[]", http.StatusBadRequest},
		"nobody":               {anyone, "secret", "{}", http.StatusBadRequest},
		"an evil identity":     {anyone, "secret", `{"identity":"../+/#"}`, http.StatusBadRequest},
		"huge":                 {anyone, "secret", strings.Repeat(" ", maxHeartbeat+1), http.StatusRequestEntityTooLarge},
		"from a network":       {byAddress("127.0.0.0/8"), "secret", good, http.StatusOK},
		"from another network": {byAddress("10.0.0.0/8"), "secret", good, http.StatusForbidden},
		"by its address":       {byAddress("127.0.0.0/8"), "secret", `{"identity":"127.0.0.1"}`, http.StatusOK},
		"by another's address": {byAddress("127.0.0.0/8"), "secret", `{"identity":"127.0.0.2"}`, http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, url := start(t, c.change)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/queryBaseline", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if c.token != "" {
				req.Header.Set("Authorization", "Bearer "+c.token)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.want || (string(body) == "[]") != (c.want == http.StatusOK) {
				t.Errorf("answered %d %q, want %d", resp.StatusCode, body, c.want)
			}
			if len(s.Recorded().Beats) > 0 {
				t.Error("it was taken for a heartbeat")
			}
		})
	}
}

// Over HTTP no answer is sent to a base: it asks itself.
func TestNoBaselineIsSentOverHTTP(t *testing.T) {
	tun, _, _ := start(t, nil)
	b := tunnel.BaseID{Env: "dev", Identity: "b"}
	tun.Follow(tunnel.Heartbeat{Base: b, IP: "127.0.0.1", Port: 1})
	if err := tun.Do(t.Context(), b, tunnel.Command{Verb: tunnel.AnswerBaseline}); !errors.Is(err, tunnel.ErrUnsupported) {
		t.Errorf("it was sent: %v", err)
	}
}
