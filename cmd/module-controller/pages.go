package main

import (
	"io"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"module-controller/internal/fleet"
	"module-controller/internal/fleetpage"
	"module-controller/provider"
)

// started is when this process began.
var started = time.Now()

// pages serves metrics, and what Kubernetes' own programs show of themselves under the same
// paths, to those who may get each.
func (s *session) pages() http.Handler {
	pages := map[string]http.Handler{
		"/metrics":     s.metrics.handler(ofClient),
		fleetpage.Path: fleetpage.Handler(s.sight),
		"/flagz":       s.flagzPage(),
		"/config":      page(func(w io.Writer) error { return printConfig(w, s.cfg) }),
	}
	if s.cfg.profiling {
		pages["/debug/pprof/"] = http.HandlerFunc(pprof.Index)
		pages["/debug/pprof/profile"] = http.HandlerFunc(pprof.Profile)
		pages["/debug/pprof/symbol"] = http.HandlerFunc(pprof.Symbol)
		pages["/debug/pprof/trace"] = http.HandlerFunc(pprof.Trace)
	}
	paths := []string{"/statusz"}
	for path := range pages {
		if !strings.HasPrefix(path, "/debug/pprof/") || path == "/debug/pprof/" {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	pages["/statusz"] = s.statuszPage(paths)
	mux := http.NewServeMux()
	gate := s.gate()
	for path, h := range pages {
		mux.Handle(path, gate(path, h))
	}
	return mux
}

// sight is what this member has in memory of the fleet.
func (s *session) sight() fleetpage.Sight {
	members, bases := s.owner.Seen()
	nodes, pods := provider.Seen(s.provider)
	return fleetpage.Sight{
		Fleet: fleet.Build(fleet.Objects{
			At: time.Now(), Namespace: s.cfg.election.Namespace,
			MemberLeases: valuesOf(members), BaseLeases: valuesOf(bases), Nodes: valuesOf(nodes),
		}),
		Envs: s.cfg.envs, Pods: pods, Moves: s.owner.Moves(), Self: s.cfg.podName, Version: version, Notes: s.notes(),
	}
}

// valuesOf are the objects that are pointed at. What they refer to is not copied.
func valuesOf[T any](all []*T) []T {
	values := make([]T, 0, len(all))
	for _, o := range all {
		values = append(values, *o)
	}
	return values
}

// gate gives what lets those get a path who may.
func (s *session) gate() func(path string, h http.Handler) http.Handler {
	if s.cfg.metricsAuth == metricsAuthNone {
		return func(_ string, h http.Handler) http.Handler { return h }
	}
	return newScrapers(s.api.review, s.metrics, s.log.Named("pages")).only
}

// page serves a text that is written anew each time.
func page(write func(io.Writer) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var text strings.Builder
		if err := write(&text); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, text.String())
	})
}
