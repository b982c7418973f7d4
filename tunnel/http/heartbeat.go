package httptunnel

import (
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// maxHeartbeat is the length in bytes of the longest heartbeat that is read; a real
// one has 250.
const maxHeartbeat = 16 << 10

// handler serves heartbeats of bases. They also know /queryBaseline,
// which the Java runtime does not call: pods define what is installed, so the baseline
// is empty.
func (t *Tunnel) handler(sink tunnel.Sink) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /heartbeat", func(w http.ResponseWriter, r *http.Request) {
		if status, err := t.heartbeat(r, sink); err != nil {
			http.Error(w, err.Error(), status)
			return
		}
		_, _ = io.WriteString(w, "SUCCESS") // the base ignores a failure
	})
	mux.HandleFunc("POST /queryBaseline", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	})
	return mux
}

// heartbeat accepts a heartbeat of a base, or gives the status and reason of a refusal.
func (t *Tunnel) heartbeat(r *http.Request, sink tunnel.Sink) (int, error) {
	if err := t.authorize(r); err != nil {
		t.meter.Dropped(Name, "unauthorized")
		return http.StatusUnauthorized, err
	}
	h, body, status, err := t.read(r)
	if err != nil {
		return status, err
	}
	sink.Heartbeat(*h)
	t.enqueue(h.Base, body)
	return http.StatusOK, nil
}

// read reads and checks a heartbeat, or gives the status and reason of a refusal.
func (t *Tunnel) read(r *http.Request) (h *tunnel.Heartbeat, body []byte, status int, err error) {
	body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxHeartbeat))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		t.meter.Dropped(Name, string(arklet.TooLarge))
		return nil, nil, http.StatusRequestEntityTooLarge, err
	case err != nil:
		t.meter.Dropped(Name, "cut_off")
		return nil, nil, http.StatusBadRequest, err
	}
	h, err = arklet.DecodeHeartbeat(t.cfg.Env, body)
	if err != nil {
		t.meter.Dropped(Name, arklet.ReasonOf(err))
		return nil, nil, http.StatusBadRequest, err
	}
	if err := t.cfg.permits(h.IP, ownAddress); err != nil {
		t.meter.Dropped(Name, "address_refused")
		t.log.Debug("heartbeat refused", zap.Stringer("base", h.Base), zap.Error(err))
		return nil, nil, http.StatusForbidden, err
	}
	if h.Port == 0 {
		t.meter.Dropped(Name, "no_port")
		return nil, nil, http.StatusBadRequest, errors.New("the heartbeat tells no port")
	}
	h.Tunnel, h.Received = Name, time.Now()
	return h, body, http.StatusOK, nil
}

func (t *Tunnel) authorize(r *http.Request) error {
	want, err := t.cfg.token()
	if err != nil {
		t.log.Warn("heartbeat refused", zap.Error(err))
		return errors.New("the token cannot be checked now")
	}
	got, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return errors.New("a bearer token is needed")
	}
	return nil
}
