package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"runtime"
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
		"/statusz":     page(s.status),
		fleetpage.Path: fleetpage.Handler(s.sight),
		"/flagz":       page(func(w io.Writer) error { return printConfig(w, s.cfg) }),
	}
	if s.cfg.profiling {
		pages["/debug/pprof/"] = http.HandlerFunc(pprof.Index)
		pages["/debug/pprof/profile"] = http.HandlerFunc(pprof.Profile)
		pages["/debug/pprof/symbol"] = http.HandlerFunc(pprof.Symbol)
		pages["/debug/pprof/trace"] = http.HandlerFunc(pprof.Trace)
	}
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

// status writes what this process is and how it goes, for people: the lines are no
// interface.
func (s *session) status(w io.Writer) error {
	health, census, of := s.owner.Health(), s.provider.Census(), s.owner.Census()
	lines := []string{
		"module-controller statusz",
		"Warning: This page is for people; its lines may change.",
		"",
		"Started: " + started.UTC().Format(time.UnixDate),
		"Up: " + time.Since(started).Round(time.Second).String(),
		"Go version: " + runtime.Version(),
		"Binary version: " + version,
		"",
		"Member: " + s.cfg.election.Incarnation,
		"Environments: " + strings.Join(s.cfg.envs, ", "),
		fmt.Sprintf("Bases owned: %d", of.Owned),
		fmt.Sprintf("Their Nodes: %d Ready, %d not", census.Ready, census.NotReady),
		fmt.Sprintf("Oldest Lease: %s, renewed every %s", health.OldestLease.Round(time.Millisecond), health.RenewEvery),
	}
	for _, note := range s.notes() {
		lines = append(lines, "Note: "+note)
	}
	paths := []string{fleetpage.Path, "/flagz", "/metrics", "/statusz"}
	if s.cfg.profiling {
		paths = append(paths, "/debug/pprof/")
	}
	slices.Sort(paths)
	lines = append(lines, "", "Paths: "+strings.Join(paths, " ")+"; /livez /readyz at "+s.cfg.probeAddress)
	_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
	return err
}
