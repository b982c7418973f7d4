package httptunnel

import (
	"net/http"
	"strings"
	"testing"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

func TestProofsArriveAsTheyWereSent(t *testing.T) {
	for _, s := range []tunnel.Sender{{}, {Bound: true}, {Bound: true, Workload: "ns/pod/0c9d"}} {
		h := http.Header{}
		if err := setProof(h, s); err != nil {
			t.Fatal(err)
		}
		if got, err := proofOf(h); err != nil || got != s {
			t.Errorf("%+v arrived as %+v, %v", s, got, err)
		}
	}
	for _, bad := range []string{
		"", "true", `{"bound":true}x`, `{"bound":true}{}`, `{"bound":"yes"}`, `{"workload":"ns/pod/1"}`, `{"bound":true,"more":1}`,
		`{"bound":true,"workload":"a b"}`, `{"bound":true,"workload":"\u202e"}`, `{"bound":true,"workload":"` + strings.Repeat("x", maxWorkload+1) + `"}`,
	} {
		if got, err := proofOf(http.Header{proofHeader: {bad}}); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
	if _, err := proofOf(http.Header{proofHeader: {`{"bound":true}`, `{"bound":true}`}}); err == nil {
		t.Error("two proofs were read")
	}
}

// The owner knows of the sender what the member knew that it reached. What a member proved
// nothing of is not taken by one that asks for proof.
func TestTheProofIsPassedOn(t *testing.T) {
	with := func(auth Auth) func(*Config) {
		return func(c *Config) { c.Auth, c.Workloads = auth, fleet() }
	}
	owner := startReplica(t, with(AuthPod))
	to := func(auth Auth) string {
		r := startReplica(t, with(auth))
		r.owner = owner.peer()
		owner.members = append(owner.members, r.key.Fingerprint)
		return r.url
	}
	careless, careful := to(AuthAnyone), to(AuthPod)
	if got := say(t, from(t, "127.0.0.66"), careless, beat("forged", "127.0.0.11", 1)); got != http.StatusOK {
		t.Fatalf("in the open mode: %d", got)
	}
	if got := say(t, from(t, "127.0.0.11"), careful, beat("b", "127.0.0.11", 1)); got != http.StatusOK {
		t.Fatalf("the base itself: %d", got)
	}
	tunneltest.Await(t, "both to arrive", func() bool { return owner.heard() > 0 && owner.of("unproved") == 1 })
	if beats := owner.sink.Recorded().Beats; len(beats) != 1 || beats[0].Base.Identity != "b" || beats[0].Sender != (tunnel.Sender{Bound: true, Workload: "ns/one/1"}) {
		t.Errorf("the owner heard %+v", beats)
	}
}
