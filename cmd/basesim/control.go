package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"module-controller/tunnel/basetest"
)

// fleet is the bases and their control endpoint. Everything is JSON:
//
//	GET  /counts                  what all bases did, in numbers
//	GET  /bases                   which bases there are, and what each did, in numbers
//	GET  /bases/{id}              what one is and did: modules, counters, commands, what served when
//	POST /bases/{id}/{happening}  see happenings; the id * means all bases
//	POST /jars                    a jar, at its url
//	GET  /broker                  where the broker is and what it retains
//	POST /broker/{happening}      stop, start, wipe, deafen, hear, freeze, thaw
type fleet struct {
	bases  []*basetest.Base
	byID   map[string]*basetest.Base
	jars   *basetest.Jars
	broker *basetest.Broker // nil: this program is none
}

func newFleet(jars *basetest.Jars) *fleet {
	return &fleet{byID: map[string]*basetest.Base{}, jars: jars}
}

func (f *fleet) add(b *basetest.Base) {
	f.bases = append(f.bases, b)
	f.byID[b.Identity()] = b
}

// serve serves the control endpoint until ctx ends.
func (f *fleet) serve(ctx context.Context, address string, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	_, _ = fmt.Fprintf(out, "control endpoint on http://%s\n", l.Addr())
	server := &http.Server{Handler: f.handler(), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control: %w", err)
	}
	return nil
}

func (f *fleet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) { answer(w, f.counts()) })
	mux.HandleFunc("GET /bases", func(w http.ResponseWriter, _ *http.Request) { answer(w, f.list()) })
	mux.HandleFunc("GET /bases/{id}", func(w http.ResponseWriter, r *http.Request) {
		b := f.byID[r.PathValue("id")]
		if b == nil {
			http.Error(w, "no such base", http.StatusNotFound)
			return
		}
		answer(w, b.Look())
	})
	mux.HandleFunc("POST /bases/{id}/{happening}", f.happen)
	mux.HandleFunc("POST /jars", f.addJar)
	mux.HandleFunc("GET /broker", func(w http.ResponseWriter, _ *http.Request) {
		if f.broker == nil {
			http.Error(w, "this is no broker", http.StatusNotFound)
			return
		}
		answer(w, map[string]any{"address": f.broker.Address(), "retained": f.broker.Retained()})
	})
	mux.HandleFunc("POST /broker/{happening}", f.happenBroker)
	return mux
}

// counts are what all bases did.
type counts struct {
	Bases int `json:"bases"`
	basetest.Totals
}

func (f *fleet) counts() counts {
	all := counts{Bases: len(f.bases)}
	for _, b := range f.bases {
		one := b.Totals()
		all.Installs += one.Installs
		all.Uninstalls += one.Uninstalls
		all.Failures += one.Failures
		all.Serving += one.Serving
		all.Commands += one.Commands
		all.Questions += one.Questions
	}
	return all
}

// entry is one base of the list.
type entry struct {
	Identity string `json:"identity"`
	basetest.Totals
}

func (f *fleet) list() []entry {
	all := []entry{}
	for _, b := range f.bases {
		all = append(all, entry{b.Identity(), b.Totals()})
	}
	return all
}

func (f *fleet) addJar(w http.ResponseWriter, r *http.Request) {
	var jar basetest.Jar
	if err := read(r, &jar); err != nil || jar.URL == "" || (jar.Name == "") != jar.Missing {
		http.Error(w, fmt.Sprintf("a jar with its url, and a name and version or missing, is needed: %v", err), http.StatusBadRequest)
		return
	}
	f.jars.Add(jar)
}

// happen has something happen to a base, or to all.
func (f *fleet) happen(w http.ResponseWriter, r *http.Request) {
	bases := f.bases
	if id := r.PathValue("id"); id != "*" {
		bases = nil
		if b := f.byID[id]; b != nil {
			bases = append(bases, b)
		}
	}
	what, known := happenings[r.PathValue("happening")]
	switch {
	case len(bases) == 0:
		http.Error(w, "no such base", http.StatusNotFound)
		return
	case !known:
		http.Error(w, "no such happening", http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for _, b := range bases {
		if err := what(r, b, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
}

func (f *fleet) happenBroker(w http.ResponseWriter, r *http.Request) {
	if f.broker == nil {
		http.Error(w, "this is no broker", http.StatusNotFound)
		return
	}
	var err error
	switch r.PathValue("happening") {
	case "stop":
		err = f.broker.Stop()
	case "start":
		err = f.broker.Start()
	case "wipe":
		err = f.broker.Wipe()
	case "deafen":
		f.broker.Deafen(true)
	case "hear":
		f.broker.Deafen(false)
	case "freeze":
		f.broker.Freeze(true)
	case "thaw":
		f.broker.Freeze(false)
	default:
		http.Error(w, "no such happening", http.StatusNotFound)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

const maxBody = 16 << 20

func read(r *http.Request, into any) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // who asked went away
}
