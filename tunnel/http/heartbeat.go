package httptunnel

import (
	"cmp"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// maxHeartbeat is the length in bytes of the longest heartbeat that is read; a real
// one has 250.
const maxHeartbeat = 16 << 10

// handler serves heartbeats of bases, and the question what to install at their start, which
// the Java runtime does not ask over HTTP. Its answer is empty: what pods ask for is
// installed by commands.
func (t *Tunnel) handler(sink tunnel.Sink) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /heartbeat", func(w http.ResponseWriter, r *http.Request) {
		if status, err := t.heartbeat(r, sink); err != nil { //nolint:contextcheck // what is passed on outlives the request
			http.Error(w, err.Error(), status)
			return
		}
		_, _ = io.WriteString(w, "SUCCESS") // the base ignores a failure
	})
	mux.HandleFunc("POST /queryBaseline", func(w http.ResponseWriter, r *http.Request) {
		if identity, no := t.query(r); no != nil {
			t.show(sourceOf(r), no)
			status, err := t.refused(sourceOf(r), identity, no)
			http.Error(w, err.Error(), status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, arklet.EmptyBaseline)
	})
	return mux
}

// query reads who asks what to install. It must prove as much as with a heartbeat. With a
// refusal it gives the identity that was read.
func (t *Tunnel) query(r *http.Request) (identity string, no *refusal) {
	token, no := t.authorize(r)
	if no != nil {
		return "", no
	}
	body, no := bodyOf(r)
	if no != nil {
		return "", no
	}
	identity, err := arklet.DecodeQuery(body)
	if err != nil {
		return "", refuse(http.StatusBadRequest, arklet.ReasonOf(err), err)
	}
	e := evidenceOf(r, token)
	if no := t.admission.mayAsk(r.Context(), e, identity); no != nil || t.cfg.Auth != AuthAddress {
		return identity, no
	}
	return identity, t.permit(e.source)
}

// heartbeat accepts a heartbeat of a base, or gives the status and reason of a refusal.
func (t *Tunnel) heartbeat(r *http.Request, sink tunnel.Sink) (int, error) {
	l, no := t.admit(r)
	if no != nil {
		t.show(sourceOf(r), no)
		return t.refused(sourceOf(r), l.heartbeat.Base.Identity, no)
	}
	t.finder.announces(l.heartbeat.Sender, l.heartbeat.Received)
	sink.Heartbeat(l.heartbeat)
	t.enqueue(l)
	return http.StatusOK, nil
}

// admit reads a heartbeat that reaches this replica first, and finds out who sent it. What
// costs least is looked at first; what concerns the sender's number of identities last, so
// that nobody uses up another's. With a refusal it gives what was read.
func (t *Tunnel) admit(r *http.Request) (letter, *refusal) {
	token, no := t.authorize(r)
	if no != nil {
		return letter{}, no
	}
	h, body, no := t.read(r)
	if no != nil {
		return letter{}, no
	}
	e, read := evidenceOf(r, token), letter{heartbeat: *h, body: body}
	if h.Sender, no = t.admission.prove(r.Context(), e, addressOf(h), h.Base.Identity); no != nil {
		return read, no
	}
	if no := t.place(h); no != nil {
		return read, no
	}
	l := letter{heartbeat: *h, from: t.speaker(h, e), body: body}
	return l, t.guests.admit(l.from, h.Base.Identity, time.Now())
}

// speaker names the sender of a heartbeat, as far as it is known whose excess it is: its
// workload, its certificate, whose authority counts its bases, or the address that it came
// from.
func (t *Tunnel) speaker(h *tunnel.Heartbeat, e evidence) string {
	if t.cfg.Auth == AuthCertificate {
		return "certificate " + h.Base.Identity
	}
	return cmp.Or(h.Sender.Workload, e.source.String())
}

// addressOf gives the address that a heartbeat claims, the zero one where there is none.
func addressOf(h *tunnel.Heartbeat) netip.Addr {
	addr, _ := netip.ParseAddr(h.IP)
	return addr.Unmap()
}

// read reads and checks a heartbeat.
func (t *Tunnel) read(r *http.Request) (*tunnel.Heartbeat, []byte, *refusal) {
	body, no := bodyOf(r)
	if no != nil {
		return nil, nil, no
	}
	h, err := arklet.DecodeHeartbeat(t.cfg.Env, body)
	switch {
	case err != nil:
		return nil, nil, refuse(http.StatusBadRequest, arklet.ReasonOf(err), err)
	case h.Port == 0:
		return nil, nil, refuse(http.StatusBadRequest, "no_port", errors.New("the heartbeat tells no port"))
	}
	h.Tunnel, h.Received = Name, time.Now()
	return h, body, nil
}

// bodyOf reads what a base says.
func bodyOf(r *http.Request) ([]byte, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxHeartbeat))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refuse(http.StatusRequestEntityTooLarge, string(arklet.TooLarge), err)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "cut_off", err)
	}
	return body, nil
}

// place refuses a heartbeat of a base where none may be.
func (t *Tunnel) place(h *tunnel.Heartbeat) *refusal { return t.permit(addressOf(h)) }

// permit refuses an address where no base may be.
func (t *Tunnel) permit(addr netip.Addr) *refusal {
	if err := t.policy.permits(addr); err != nil {
		return forbid("address_refused", err)
	}
	return nil
}

// sharedHeader carries the shared token of a base whose Authorization header carries a
// token of its own.
const sharedHeader = "Module-Controller-Token"

// authorize checks the shared token, where one is needed, and gives the base's own.
func (t *Tunnel) authorize(r *http.Request) (own string, no *refusal) {
	own, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !bearer {
		own = "" // of another scheme, which somebody on the way may have added
	}
	want, err := t.cfg.token()
	switch {
	case err != nil:
		return "", refuse(http.StatusServiceUnavailable, "unreviewed", fmt.Errorf("the token cannot be checked now: %w", err))
	case want == "", same(r.Header.Get(sharedHeader), want):
		return own, nil
	case same(own, want):
		return "", nil
	}
	return "", refuse(http.StatusUnauthorized, "unauthorized", errors.New("a bearer token is needed, that of HTTP_TUNNEL_TOKEN_FILE"))
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
