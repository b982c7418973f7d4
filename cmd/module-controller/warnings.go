package main

import (
	"context"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"k8s.io/client-go/rest"
)

// warnings counts each warning of the API server to a request of this program, and logs each
// text once. It implements rest.WarningHandlerWithContext.
type warnings struct {
	log   *zap.Logger
	count prometheus.Counter

	mu   sync.Mutex
	told map[string]bool // texts; mu guards it
}

// maxWarnings is how many texts are logged: one may have a name in it.
const maxWarnings = 100

// miscPersistent is the code of a warning of the API server; others are not its own.
const miscPersistent = 299

func newWarnings(log *zap.Logger, count prometheus.Counter) *warnings {
	return &warnings{log: log, count: count, told: map[string]bool{}}
}

// HandleWarningHeaderWithContext takes one warning.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, code int, _, text string) {
	if code != miscPersistent || text == "" {
		return
	}
	w.count.Inc()
	w.mu.Lock()
	again := w.told[text] || len(w.told) == maxWarnings
	if !again {
		w.told[text] = true
	}
	w.mu.Unlock()
	if !again {
		w.log.Warn("API server warns", zap.String("warning", text))
	}
}

var _ rest.WarningHandlerWithContext = (*warnings)(nil)
