package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"module-controller/tunnel/tunneltest"
)

// fleet is the bases and their control endpoint:
//
//	GET  /counts                      what all bases did
//	GET  /bases, GET /bases/{id}      what they are and did
//	POST /jars                        a jar, at its url
//	POST /bases/{id}/install          a module, past the controller
//	POST /bases/{id}/{fault}          see faults
type fleet struct {
	bases []*tunneltest.Base
	byID  map[string]*tunneltest.Base
	jars  *tunneltest.Jars
}

func newFleet(jars *tunneltest.Jars) *fleet {
	return &fleet{byID: map[string]*tunneltest.Base{}, jars: jars}
}

func (f *fleet) add(b *tunneltest.Base) {
	f.bases = append(f.bases, b)
	f.byID[b.Identity()] = b
}

// faults are what can happen to a base; n and d are taken from the query.
var faults = map[string]func(f *tunneltest.Faults, n int, d time.Duration){
	"silence":        func(f *tunneltest.Faults, _ int, _ time.Duration) { f.Silent = true },
	"mute":           func(f *tunneltest.Faults, _ int, _ time.Duration) { f.Mute = true },
	"stop-heartbeat": func(f *tunneltest.Faults, _ int, _ time.Duration) { f.NoHeartbeat = true },
	"resume":         func(f *tunneltest.Faults, _ int, _ time.Duration) { *f = tunneltest.Faults{} },
	"slow":           func(f *tunneltest.Faults, _ int, d time.Duration) { f.Slow = d },
	"fail-installs":  func(f *tunneltest.Faults, n int, _ time.Duration) { f.FailInstalls = n },
	"lose-answers":   func(f *tunneltest.Faults, n int, _ time.Duration) { f.LoseAnswers = n },
	"without-effect": func(f *tunneltest.Faults, n int, _ time.Duration) { f.WithoutEffect = n },
}

func (f *fleet) serve(ctx context.Context, address string) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	fmt.Printf("control endpoint on http://%s\n", l.Addr())
	server := &http.Server{Handler: f.handler(), ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control: %w", err)
	}
	return nil
}

func (f *fleet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counts", f.counts)
	mux.HandleFunc("GET /bases", func(w http.ResponseWriter, _ *http.Request) {
		all := []tunneltest.Report{}
		for _, b := range f.bases {
			all = append(all, b.Look())
		}
		answer(w, all)
	})
	mux.HandleFunc("GET /bases/{id}", f.with(func(w http.ResponseWriter, _ *http.Request, b *tunneltest.Base) { answer(w, b.Look()) }))
	mux.HandleFunc("POST /bases/{id}/install", f.with(f.install))
	mux.HandleFunc("POST /bases/{id}/{fault}", f.with(f.fault))
	mux.HandleFunc("POST /jars", func(w http.ResponseWriter, r *http.Request) {
		var jar tunneltest.Jar
		if err := read(r, &jar); err != nil || jar.URL == "" {
			http.Error(w, fmt.Sprintf("a jar with its url is needed: %v", err), http.StatusBadRequest)
			return
		}
		f.jars.Add(jar)
	})
	return mux
}

func (f *fleet) counts(w http.ResponseWriter, _ *http.Request) {
	c := struct {
		Bases      int `json:"bases"`
		Installs   int `json:"installs"`
		Uninstalls int `json:"uninstalls"`
		Serving    int `json:"serving"`
	}{Bases: len(f.bases)}
	for _, b := range f.bases {
		r := b.Look()
		for _, n := range r.Installs {
			c.Installs += n
		}
		for _, n := range r.Uninstalls {
			c.Uninstalls += n
		}
		c.Serving += len(r.Serving[len(r.Serving)-1].Modules)
	}
	answer(w, c)
}

func (f *fleet) with(do func(http.ResponseWriter, *http.Request, *tunneltest.Base)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := f.byID[r.PathValue("id")]
		if b == nil {
			http.Error(w, "no such base", http.StatusNotFound)
			return
		}
		do(w, r, b)
	}
}

func (f *fleet) install(w http.ResponseWriter, r *http.Request, b *tunneltest.Base) {
	var c tunneltest.Command
	if err := read(r, &c); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b.Install(r.Context(), c)
}

func (f *fleet) fault(w http.ResponseWriter, r *http.Request, b *tunneltest.Base) {
	name := r.PathValue("fault")
	if name == "restart" {
		b.Restart()
		return
	}
	happen, known := faults[name]
	if !known {
		http.Error(w, "no such fault", http.StatusNotFound)
		return
	}
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	d, _ := time.ParseDuration(r.URL.Query().Get("d"))
	b.Set(func(f *tunneltest.Faults) { happen(f, max(n, 1), d) })
}

func read(r *http.Request, into any) error {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked went away
}
