package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/server/healthz"
)

// check is a named condition of readiness.
type check struct {
	name string
	// ok gives nil once the condition is met.
	ok func() error
}

// healthHandler serves /livez and /readyz by the library of Kubernetes' own programs: each
// check by itself at /readyz/CHECK, which says why it fails, all named with ?verbose, and
// without those that ?exclude names. After ?verbose each note of readiness follows, which
// fails nothing; nil for none. What a restart would not cure, as an API server that is away,
// fails no liveness. /healthz is /livez for the probes of other controllers' manifests.
func healthHandler(live, ready []check, notes func() []string) http.Handler {
	mux := http.NewServeMux()
	healthz.InstallLivezHandler(mux, checkers(live)...)
	healthz.InstallHandler(mux, checkers(live)...)
	healthz.InstallReadyzHandler(mux, checkers(ready)...)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r)
		if _, verbose := r.URL.Query()["verbose"]; verbose && r.URL.Path == "/readyz" && notes != nil {
			for _, note := range notes() {
				_, _ = fmt.Fprintf(w, "[i]%s\n", note)
			}
		}
	})
}

func checkers(checks []check) []healthz.HealthChecker {
	all := []healthz.HealthChecker{healthz.PingHealthz}
	for _, c := range checks {
		all = append(all, healthz.NamedCheck(c.name, func(*http.Request) error { return c.ok() }))
	}
	return all
}

const (
	readTimeout = 5 * time.Second
	// maxHeader is the maximum length of a header that is read, in bytes: anybody may
	// connect, and the library reads 1 MiB of each. A token has 8 KiB at most.
	maxHeader = 16 << 10
	// closeTimeout is how long what is under way may take at the end. Scrapers come
	// again, and a connection that has sent nothing yet would be waited for 5 s.
	closeTimeout = 500 * time.Millisecond
)

// serve serves a handler until ctx ends, with TLS unless that is nil. The address "0" or
// "" serves nowhere.
func serve(ctx context.Context, address string, secured *tls.Config, h http.Handler) error {
	if address == nowhere || address == "" {
		<-ctx.Done()
		return nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", address, err)
	}
	if secured != nil {
		l = tls.NewListener(l, secured)
	}
	return serveOn(ctx, l, h)
}

// silent is for what the library tells of each connection, such as a handshake that failed:
// anybody may connect, and must not fill the log.
var silent = log.New(io.Discard, "", 0)

// serveOn serves a handler on a listener until ctx ends.
func serveOn(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ErrorLog: silent, MaxHeaderBytes: maxHeader, ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if err := server.Shutdown(closing); errors.Is(err, context.DeadlineExceeded) {
		_ = server.Close() // who does not end in time is cut off
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", l.Addr(), err)
	}
	return nil
}
