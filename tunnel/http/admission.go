package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"module-controller/tunnel"
)

// Auth is what a heartbeat must prove of its sender. What a base answers at the address
// that it claims proves nothing: a liar echoes it.
type Auth string

// The ways to prove it.
const (
	// AuthPod: it comes from the address that it claims, and a workload has that address.
	// A bearer token that is sent must be of the same workload. The default; a base
	// needs to do nothing for it.
	AuthPod Auth = "pod"
	// AuthToken: it carries a bearer token of a workload that has the claimed address,
	// wherever it comes from.
	AuthToken Auth = "token"
	// AuthCertificate: its connection has a client certificate of the identity.
	AuthCertificate Auth = "certificate"
	// AuthAddress: it comes from the address that it claims, within Config.Allowed. For
	// bases that are no workloads of the cluster.
	AuthAddress Auth = "address"
	// AuthAnyone: nothing. Anybody who reaches the listener may be any base, and is sent
	// what its pods are.
	AuthAnyone Auth = "insecure-anyone"
)

// Auths are all of them.
func Auths() []Auth { return []Auth{AuthPod, AuthToken, AuthCertificate, AuthAddress, AuthAnyone} }

// evidence is what a request proves, whatever its body says.
type evidence struct {
	source netip.Addr // of the connection, IPv4 as such
	token  string     // a bearer token, not verified yet
	names  []string   // of the client certificate, verified
}

func evidenceOf(r *http.Request, token string) evidence {
	e := evidence{source: sourceOf(r), token: token}
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return e
	}
	cert := r.TLS.VerifiedChains[0][0]
	if time.Now().After(cert.NotAfter) { // the connection may be older
		return e
	}
	e.names = slices.Concat([]string{cert.Subject.CommonName}, cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		e.names = append(e.names, ip.String())
	}
	return e
}

// sourceOf gives the address that a request comes from, the zero one where there is none.
func sourceOf(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return from.Addr().Unmap().WithZone("")
}

// admission finds out who sent a heartbeat.
type admission struct {
	auth      Auth
	workloads Workloads
	reviews   *budget // of tokens that turned out to be nobody's, for each source
}

// prove gives what is proved of the sender of a heartbeat that claims an address and an
// identity, or why it may not speak.
func (a admission) prove(ctx context.Context, e evidence, claimed netip.Addr, identity string) (tunnel.Sender, *refusal) {
	switch a.auth {
	case AuthAnyone:
		return tunnel.Sender{}, nil
	case AuthCertificate:
		return tunnel.Sender{Bound: true}, certified(e, identity)
	case AuthAddress:
		return tunnel.Sender{Bound: true}, first(fromClaimed(e, claimed), ownLiteral([]netip.Addr{claimed}, identity))
	case AuthToken:
		return a.byToken(ctx, e, claimed, identity)
	default: // what is unknown is no weaker
		return a.byPod(ctx, e, claimed, identity)
	}
}

// mayAsk refuses whoever may not ask what to install on a base of an identity. It claims no
// address, so it has the one that it comes from.
func (a admission) mayAsk(ctx context.Context, e evidence, identity string) *refusal {
	if a.auth != AuthToken {
		_, no := a.prove(ctx, e, e.source, identity)
		return no
	}
	w, no := a.byOwnToken(ctx, e)
	if no != nil {
		return no
	}
	return a.mayBe(w, identity)
}

// first gives the first refusal.
func first(all ...*refusal) *refusal {
	for _, no := range all {
		if no != nil {
			return no
		}
	}
	return nil
}

func (a admission) byPod(ctx context.Context, e evidence, claimed netip.Addr, identity string) (tunnel.Sender, *refusal) {
	w, err := a.workloads.At(e.source)
	switch no := fromClaimed(e, claimed); {
	case err != nil && !errors.Is(err, ErrNoWorkload):
		return tunnel.Sender{}, noWorkload(err)
	case no != nil && !slices.Contains(w.Addresses, claimed): // a workload may have one of each family
		return tunnel.Sender{}, no
	case err != nil:
		return tunnel.Sender{}, noWorkload(err)
	}
	if e.token != "" {
		of, no := a.ofToken(ctx, e)
		switch {
		case no != nil:
			return tunnel.Sender{}, no
		case of.Name != w.Name:
			return tunnel.Sender{}, forbid("sender_mismatch", fmt.Errorf("the token is of %s, and %s has the address %s: send a workload's own token, or none", of.Name, w.Name, e.source))
		}
	}
	return w.sender(), a.mayBe(w, identity)
}

// byOwnToken gives the workload whose token was sent.
func (a admission) byOwnToken(ctx context.Context, e evidence) (Workload, *refusal) {
	if e.token == "" {
		return Workload{}, refuse(http.StatusUnauthorized, "unauthorized", errors.New("a bearer token of the base's service account is needed, for the audience module-controller"))
	}
	return a.ofToken(ctx, e)
}

func (a admission) byToken(ctx context.Context, e evidence, claimed netip.Addr, identity string) (tunnel.Sender, *refusal) {
	w, no := a.byOwnToken(ctx, e)
	switch {
	case no != nil:
		return tunnel.Sender{}, no
	case !slices.Contains(w.Addresses, claimed):
		return tunnel.Sender{}, forbid("sender_mismatch", fmt.Errorf("the token is of %s, which does not have the address %s", w.Name, claimed))
	}
	return w.sender(), a.mayBe(w, identity)
}

// ofToken verifies a token. New ones from where many came that are nobody's are not looked
// at for a while: each may cost a review.
func (a admission) ofToken(ctx context.Context, e evidence) (Workload, *refusal) {
	token := hashOf(e.token)
	if !a.reviews.allows(e.source, token, time.Now()) {
		return Workload{}, refuse(http.StatusTooManyRequests, "token_rate", errors.New("too many tokens from here were refused: wait a minute"))
	}
	w, err := a.workloads.OfToken(ctx, e.token)
	switch {
	case err == nil:
		a.reviews.earn(token)
		return w, nil
	case errors.Is(err, ErrNoWorkload):
		a.reviews.spend(e.source, token, time.Now())
		return Workload{}, refuse(http.StatusUnauthorized, "unauthorized", err)
	default:
		return Workload{}, refuse(http.StatusServiceUnavailable, "unreviewed", err)
	}
}

func noWorkload(err error) *refusal {
	if errors.Is(err, ErrNoWorkload) {
		return forbid("no_workload", err)
	}
	return refuse(http.StatusServiceUnavailable, "unreviewed", err)
}

// fromClaimed refuses a heartbeat that does not come from the address that it claims.
func fromClaimed(e evidence, claimed netip.Addr) *refusal {
	if claimed.IsValid() && e.source == claimed {
		return nil
	}
	return forbid("sender_mismatch", fmt.Errorf("the heartbeat comes from %s and says that it is from %s: "+
		"send it from the base itself, without NAT or proxy, or set HTTP_TUNNEL_AUTH to token or certificate", e.source, claimed))
}

func certified(e evidence, identity string) *refusal {
	switch {
	case len(e.names) == 0:
		return refuse(http.StatusUnauthorized, "unauthorized", errors.New("a client certificate is needed"))
	case !slices.Contains(e.names, identity):
		return forbid("wrong_identity", fmt.Errorf("the client certificate is for %q, not for the identity %q", e.names, identity))
	}
	return nil
}

func (w Workload) sender() tunnel.Sender { return tunnel.Sender{Bound: true, Workload: w.Name} }

// mayBe refuses an identity that a workload may not use. One that nobody declares and that
// is no address goes to who comes first, of those that declare none.
func (a admission) mayBe(w Workload, identity string) *refusal {
	if w.Identity != "" && identity != w.Identity {
		return forbid("wrong_identity", fmt.Errorf("%s is declared to be %q, and says that it is %q: let both be the same", w.Name, w.Identity, identity))
	}
	if w.Identity == "" {
		if other := a.workloads.Declaring(identity); other != "" {
			return forbid("wrong_identity", fmt.Errorf("the identity %q is declared by %s: declare it on %s too if it is to be that base", identity, other, w.Name))
		}
	}
	return ownLiteral(w.Addresses, identity)
}

// ownLiteral refuses an identity that is an address of somebody else.
func ownLiteral(own []netip.Addr, identity string) *refusal {
	literal, err := netip.ParseAddr(identity)
	if err != nil || slices.Contains(own, literal.Unmap()) {
		return nil
	}
	return forbid("wrong_identity", fmt.Errorf("the identity %q is an address that the sender does not have", identity))
}

// nobody are the Workloads where none are known.
type nobody struct{}

func (nobody) At(netip.Addr) (Workload, error) {
	return Workload{}, fmt.Errorf("%w: no workloads are known here", ErrNoWorkload)
}

func (nobody) OfToken(context.Context, string) (Workload, error) {
	return Workload{}, fmt.Errorf("%w: no workloads are known here", ErrNoWorkload)
}

func (nobody) Declaring(string) string { return "" }
