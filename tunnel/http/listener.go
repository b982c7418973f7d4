package httptunnel

import (
	"fmt"
	"net/http"
	"net/netip"

	"module-controller/internal/connlimit"
)

// limits are how many connections there may be, in all and from one address. The more there
// are in all, the fewer each address may have: from a half on an eighth, in the last quarter
// one, so that a few addresses cannot use them all up.
type limits struct{ all, each int }

func (l limits) steps() connlimit.Limits {
	return connlimit.Limits{All: l.all, Each: []connlimit.Step{
		{From: 0, Each: l.each},
		{From: l.all / 2, Each: max(1, l.each/8)},
		{From: l.all - l.all/4, Each: 1},
	}}
}

// bounded makes what bounds the connections to a listener, and tells of each that is closed:
// who comes next may be a base.
func (t *Tunnel) bounded(l limits) *connlimit.Limiter {
	return connlimit.New(l.steps(), func(from netip.Addr, _ connlimit.Reason) {
		t.note(from, "", refuse(0, "too_many_connections", fmt.Errorf("too many connections: at most %d from one address, fewer when there are many, and %d in all: "+
			"raise HTTP_TUNNEL_MAX_CONNECTIONS if there are that many bases", l.each, l.all)))
	})
}

// sparing has who is answered close the connection where there are many: bases keep theirs
// from one heartbeat to the next, and those who come later would be refused for ever.
func (l limits) sparing(of *connlimit.Limiter, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.scarce(of.Open(), of.Of(sourceOf(r))) {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// scarce reports whether half of the connections are open, in all or of one address.
func (l limits) scarce(open, has int) bool { return 2*open >= l.all || 2*has >= l.each }
