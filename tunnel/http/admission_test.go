package httptunnel

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// places are Workloads in the hand of a test, by address and by token.
type places map[string]Workload

func (p places) At(a netip.Addr) (Workload, error) { return p.find(a.String()) }

func (p places) OfToken(_ context.Context, token string) (Workload, error) { return p.find(token) }

func (p places) Declaring(identity string) string {
	for _, w := range p {
		if w.Identity == identity {
			return w.Name
		}
	}
	return ""
}

func (p places) find(key string) (Workload, error) {
	switch w, ok := p[key]; {
	case ok:
		return w, nil
	case key == "later", key == "127.0.0.99":
		return Workload{}, fmt.Errorf("%w: not synced", ErrUnreviewed)
	}
	return Workload{}, fmt.Errorf("%w: label the Pod at %s", ErrNoWorkload, key)
}

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// fleet are two bases that declare nothing, one that is declared, and what token is whose.
func fleet() places {
	one := Workload{Name: "ns/one/1", Addresses: addresses("127.0.0.11", "fd00::11")}
	two := Workload{Name: "ns/two/2", Addresses: addresses("127.0.0.12")}
	named := Workload{Name: "ns/named/3", Addresses: addresses("127.0.0.13"), Identity: "orders"}
	return places{
		"127.0.0.11": one, "fd00::11": one, "token-one": one,
		"127.0.0.12": two, "token-two": two,
		"127.0.0.13": named,
	}
}

func TestWhoMaySpeak(t *testing.T) {
	one, two := tunnel.Sender{Bound: true, Workload: "ns/one/1"}, tunnel.Sender{Bound: true, Workload: "ns/two/2"}
	for name, c := range map[string]struct {
		auth             Auth
		e                evidence
		claims, identity string
		want             tunnel.Sender
		refused          string // the reason
		status           int
	}{
		"pod: its own address":                   {AuthPod, evidence{source: addr("127.0.0.11")}, "127.0.0.11", "b", one, "", 0},
		"pod: over IPv6":                         {AuthPod, evidence{source: addr("fd00::11")}, "fd00::11", "b", one, "", 0},
		"pod: identity is its address":           {AuthPod, evidence{source: addr("127.0.0.11")}, "127.0.0.11", "127.0.0.11", one, "", 0},
		"pod: identity is its other address":     {AuthPod, evidence{source: addr("127.0.0.11")}, "127.0.0.11", "fd00::11", one, "", 0},
		"pod: from its other address":            {AuthPod, evidence{source: addr("fd00::11")}, "127.0.0.11", "b", one, "", 0},
		"pod: of the wrong address, later":       {AuthPod, evidence{source: addr("127.0.0.99")}, "127.0.0.11", "b", one, "unreviewed", 503},
		"pod: its own token":                     {AuthPod, evidence{source: addr("127.0.0.11"), token: "token-one"}, "127.0.0.11", "b", one, "", 0},
		"pod: as declared":                       {AuthPod, evidence{source: addr("127.0.0.13")}, "127.0.0.13", "orders", tunnel.Sender{Bound: true, Workload: "ns/named/3"}, "", 0},
		"pod: an identity that another declares": {AuthPod, evidence{source: addr("127.0.0.11")}, "127.0.0.11", "orders", one, "wrong_identity", 403},
		"pod: another's address":                 {AuthPod, evidence{source: addr("127.0.0.12")}, "127.0.0.11", "b", one, "sender_mismatch", 403},
		"pod: no address":                        {AuthPod, evidence{source: addr("127.0.0.12")}, "", "b", one, "sender_mismatch", 403},
		"pod: nothing at all":                    {AuthPod, evidence{}, "", "b", one, "sender_mismatch", 403},
		"pod: no workload":                       {AuthPod, evidence{source: addr("127.0.0.66")}, "127.0.0.66", "b", one, "no_workload", 403},
		"pod: not known yet":                     {AuthPod, evidence{source: addr("127.0.0.99")}, "127.0.0.99", "b", one, "unreviewed", 503},
		"pod: identity is another's address":     {AuthPod, evidence{source: addr("127.0.0.12")}, "127.0.0.12", "127.0.0.11", two, "wrong_identity", 403},
		"pod: another's address, in IPv6":        {AuthPod, evidence{source: addr("127.0.0.12")}, "127.0.0.12", "::ffff:127.0.0.11", two, "wrong_identity", 403},
		"pod: another's address, in full":        {AuthPod, evidence{source: addr("127.0.0.12")}, "127.0.0.12", "0:0:0:0:0:ffff:7f00:000b", two, "wrong_identity", 403},
		"pod: an address with a zone":            {AuthPod, evidence{source: addr("fd00::11")}, "fd00::11", "fd00::11%eth0", one, "wrong_identity", 403},
		"certificate: of any name":               {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"*"}}, "10.1.2.3", "b", one, "wrong_identity", 403},
		"certificate: in other letters":          {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"B", "b."}}, "10.1.2.3", "b", one, "wrong_identity", 403},
		"pod: not as declared":                   {AuthPod, evidence{source: addr("127.0.0.13")}, "127.0.0.13", "b", one, "wrong_identity", 403},
		"pod: another's token":                   {AuthPod, evidence{source: addr("127.0.0.12"), token: "token-one"}, "127.0.0.12", "b", two, "sender_mismatch", 403},
		"pod: nobody's token":                    {AuthPod, evidence{source: addr("127.0.0.12"), token: "junk"}, "127.0.0.12", "b", two, "unauthorized", 401},
		"pod: token not reviewed":                {AuthPod, evidence{source: addr("127.0.0.12"), token: "later"}, "127.0.0.12", "b", two, "unreviewed", 503},
		"pod: certificate, another's address":    {AuthPod, evidence{source: addr("127.0.0.12"), names: []string{"b"}}, "127.0.0.11", "b", one, "sender_mismatch", 403},
		"unknown mode is pod's":                  {"", evidence{source: addr("127.0.0.12")}, "127.0.0.11", "b", one, "sender_mismatch", 403},

		"token: from anywhere":         {AuthToken, evidence{source: addr("127.0.0.66"), token: "token-one"}, "127.0.0.11", "b", one, "", 0},
		"token: another's address":     {AuthToken, evidence{source: addr("127.0.0.11"), token: "token-two"}, "127.0.0.11", "b", two, "sender_mismatch", 403},
		"token: none":                  {AuthToken, evidence{source: addr("127.0.0.11")}, "127.0.0.11", "b", one, "unauthorized", 401},
		"token: nobody's":              {AuthToken, evidence{source: addr("127.0.0.11"), token: "junk"}, "127.0.0.11", "b", one, "unauthorized", 401},
		"token: not reviewed":          {AuthToken, evidence{source: addr("127.0.0.11"), token: "later"}, "127.0.0.11", "b", one, "unreviewed", 503},
		"token: identity of another":   {AuthToken, evidence{source: addr("127.0.0.12"), token: "token-two"}, "127.0.0.12", "127.0.0.11", two, "wrong_identity", 403},
		"certificate: of the name":     {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"", "b"}}, "10.1.2.3", "b", tunnel.Sender{Bound: true}, "", 0},
		"certificate: of another":      {AuthCertificate, evidence{source: addr("127.0.0.66"), names: []string{"a"}}, "10.1.2.3", "b", one, "wrong_identity", 403},
		"certificate: none":            {AuthCertificate, evidence{source: addr("127.0.0.66"), token: "token-one"}, "10.1.2.3", "b", one, "unauthorized", 401},
		"address: its own":             {AuthAddress, evidence{source: addr("127.0.0.66")}, "127.0.0.66", "b", tunnel.Sender{Bound: true}, "", 0},
		"address: another's":           {AuthAddress, evidence{source: addr("127.0.0.66")}, "127.0.0.11", "b", one, "sender_mismatch", 403},
		"address: identity of another": {AuthAddress, evidence{source: addr("127.0.0.66")}, "127.0.0.66", "127.0.0.11", one, "wrong_identity", 403},
		"anyone: anybody":              {AuthAnyone, evidence{source: addr("127.0.0.66")}, "10.1.2.3", "10.1.2.9", tunnel.Sender{}, "", 0},
	} {
		a := admission{c.auth, fleet(), newBudget()}
		claimed, _ := netip.ParseAddr(c.claims)
		got, no := a.prove(t.Context(), c.e, claimed, c.identity)
		switch {
		case (no != nil) != (c.refused != ""):
			t.Errorf("%s: refused %+v, want %q", name, no, c.refused)
		case no != nil && (no.reason != c.refused || no.status != c.status || no.err == nil):
			t.Errorf("%s: refused %+v, want %d %s", name, no, c.status, c.refused)
		case no == nil && got != c.want:
			t.Errorf("%s: proved %+v, want %+v", name, got, c.want)
		}
	}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// Who sends junk for tokens soon causes no more reviews; others do.
func TestJunkTokensCostFewReviews(t *testing.T) {
	reviews, known := 0, fleet()
	a := admission{AuthToken, counting{known, &reviews}, newBudget()}
	behind := evidence{source: addr("127.0.0.66"), token: "token-two"} // the same NAT
	if _, no := a.prove(t.Context(), behind, addr("127.0.0.12"), "c"); no != nil {
		t.Fatal(no.err)
	}
	for i := range 3000 {
		if _, no := a.prove(t.Context(), evidence{source: addr("127.0.0.66"), token: fmt.Sprint("junk-", i)}, addr("127.0.0.11"), "b"); no == nil {
			t.Fatal("junk was taken")
		}
	}
	if reviews > 2*mistakes {
		t.Errorf("%d reviews", reviews)
	}
	if _, no := a.prove(t.Context(), evidence{source: addr("127.0.0.11"), token: "token-one"}, addr("127.0.0.11"), "b"); no != nil {
		t.Errorf("a base elsewhere is refused: %v", no.err)
	}
	if _, no := a.prove(t.Context(), behind, addr("127.0.0.12"), "c"); no != nil {
		t.Errorf("a base behind the same address, which was taken before, is refused: %v", no.err)
	}
	delete(known, "token-two") // it is withdrawn
	for i, want := range []string{"unauthorized", "token_rate"} {
		if _, no := a.prove(t.Context(), behind, addr("127.0.0.12"), "c"); no == nil || no.reason != want {
			t.Errorf("a token that was withdrawn, try %d: %+v, want %s", i, no, want)
		}
	}
}

type counting struct {
	places
	reviews *int
}

func (c counting) OfToken(ctx context.Context, token string) (Workload, error) {
	*c.reviews++
	return c.places.OfToken(ctx, token)
}

// from is a client whose connections come from an address of loopback.
func from(t testing.TB, address string) *http.Client {
	t.Helper()
	transport := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// say posts a heartbeat and gives the status. Headers are pairs of name and value.
func say(t testing.TB, c *http.Client, url, body string, headers ...string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/heartbeat", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// Only the base itself moves it: whatever another says is not heard, and is counted and
// told once.
func TestAForgedHeartbeatIsNotHeard(t *testing.T) {
	counted, sink, address := &counts{}, &tunneltest.RecordingSink{}, freeAddress(t)
	core, logs := observer.New(zap.WarnLevel)
	tun, err := New(Config{Listen: address, Env: "dev", Workloads: fleet(), Allowed: prefixes("127.0.0.0/8")}, zap.New(core), counted)
	if err != nil {
		t.Fatal(err)
	}
	run(t, tun, sink)
	victim, attacker, stranger := from(t, "127.0.0.11"), from(t, "127.0.0.12"), from(t, "127.0.0.66")
	url := "http://" + address
	if got := say(t, victim, url, beat("orders-1", "127.0.0.11", 1238)); got != http.StatusOK {
		t.Fatalf("the base itself: %d", got)
	}
	for range 3 {
		for _, forged := range []struct {
			client *http.Client
			body   string
		}{
			{attacker, beat("orders-1", "127.0.0.11", 1239)},
			{attacker, beat("127.0.0.11", "127.0.0.12", 1239)},
			{stranger, beat("orders-1", "127.0.0.11", 1239)},
			{stranger, beat("orders-1", "127.0.0.66", 1239)},
		} {
			for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", proofHeader} {
				if got := say(t, forged.client, url, forged.body, header, `127.0.0.11`); got != http.StatusForbidden {
					t.Errorf("%s: %d", forged.body, got)
				}
			}
		}
	}
	want := tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: "orders-1"}, Sender: tunnel.Sender{Bound: true, Workload: "ns/one/1"}, Port: 1238}
	if beats := sink.Recorded().Beats; len(beats) != 1 || beats[0].Base != want.Base || beats[0].Sender != want.Sender || beats[0].Port != want.Port {
		t.Errorf("heard %+v", beats)
	}
	if a, b, c := counted.of("sender_mismatch"), counted.of("wrong_identity"), counted.of("no_workload"); a != 24 || b != 12 || c != 12 {
		t.Errorf("counted %v", counted.by)
	}
	told := logs.FilterMessage("heartbeat refused").All()
	if len(told) != 4 { // two of each
		t.Errorf("%d lines tell it", len(told))
	}
	for _, line := range told {
		if m := line.ContextMap(); m["identity"] == "" || m["reason"] == "" || m["from"] == "" || m["error"] == "" {
			t.Errorf("a line does not say whom, why and what to do: %v", m)
		}
	}
}

// The shared token is needed beside what the mode needs, and does not stand for it.
func TestTheSharedTokenIsNoBases(t *testing.T) {
	tun, s, url := start(t, func(c *Config) {
		c.Auth, c.Workloads, c.TokenFile = AuthToken, fleet(), t.TempDir()+"/token"
		put(t, c.TokenFile, "shared\n")
	})
	_ = tun
	body := beat("b", "127.0.0.11", 1238)
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{nil, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer shared"}, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer token-one"}, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer token-one", sharedHeader, "wrong"}, http.StatusUnauthorized},
		{[]string{"Authorization", "Bearer token-one", sharedHeader, "shared"}, http.StatusOK},
	} {
		if got := say(t, from(t, "127.0.0.66"), url, body, c.headers...); got != c.want {
			t.Errorf("%v: %d, want %d", c.headers, got, c.want)
		}
	}
	if n := len(s.Recorded().Beats); n != 1 {
		t.Errorf("%d heartbeats were heard", n)
	}
}
