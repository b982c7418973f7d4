package httptunnel

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// Quiet is a workload whose base does not announce itself: it is asked.
type Quiet struct {
	Workload
	// Port is where the base accepts commands.
	Port int
	// Base describes the base. Of its name, version and cluster those that are empty are what
	// the base says, or the runtime's default.
	Base struct{ Name, Version, Cluster, Hostname string }
}

const (
	// findEvery is how often a base is asked, findRetry how soon again that did not answer;
	// the pause doubles up to findEvery.
	findEvery, findRetry = 10 * time.Second, 2 * time.Second
	// findLook is how often it is looked for workloads.
	findLook = time.Second
	// findAtOnce is how many are asked at a time, half of them such as did not answer.
	findAtOnce = 32
	// announcedFor is how long after its last heartbeat a workload is not asked: what its base
	// says of itself may differ from what its workload does. It is remembered of maxGuests.
	announcedFor = time.Minute
	// maxWord is the maximum length of a word that describes a base, in bytes.
	maxWord = 253
)

// finder asks the bases that do not announce themselves.
type finder struct {
	mu sync.Mutex
	// mu guards what follows
	known     map[string]*patience // by workload
	asking    int                  // of them all
	doubted   int                  // of those that did not answer
	announced *lru.LRU[string, time.Time]
}

// patience is what is known of one such workload.
type patience struct {
	due      time.Time
	failures int // in a row
	asked    bool
	seen     bool // in the current look
}

func newFinder() *finder {
	return &finder{known: map[string]*patience{}, announced: newLRU[string, time.Time](maxGuests)}
}

// announces notes that the base of a workload sends heartbeats.
func (f *finder) announces(s tunnel.Sender, now time.Time) {
	if s.Workload == "" {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.announced.Add(s.Workload, now)
}

// due gives those of all workloads that are to be asked now, and takes a place for each.
func (f *finder) due(all []Quiet, now time.Time) (due []Quiet) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, q := range all {
		k := f.known[q.Name]
		if k == nil {
			k = &patience{failures: 1} // nothing is known of it
			f.known[q.Name] = k
		}
		k.seen = true
		if !k.asked && !now.Before(k.due) && !f.speaks(q.Workload, now) && f.sit(k) {
			due = append(due, q)
		}
	}
	for name, k := range f.known {
		if !k.seen && !k.asked {
			delete(f.known, name)
		}
		k.seen = false
	}
	return due
}

// speaks says whether the base of a workload announces itself. The caller holds mu.
func (f *finder) speaks(w Workload, now time.Time) bool {
	at, ok := f.announced.Get(w.Name)
	return ok && now.Sub(at) < announcedFor
}

// sit takes a place, if there is one. The caller holds mu.
func (f *finder) sit(k *patience) bool {
	switch {
	case f.asking >= findAtOnce, k.failures > 0 && f.doubted >= findAtOnce/2:
		return false
	case k.failures > 0:
		f.doubted++
	}
	f.asking++
	k.asked = true
	return true
}

// end takes in whether a workload that was asked at a time answered. The next time comes half
// a look early, so that it is the same look each time: who is heard out of time is doubted.
func (f *finder) end(q Quiet, began time.Time, answered bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := f.known[q.Name]
	f.asking--
	if k.failures > 0 {
		f.doubted--
	}
	k.asked = false
	pause := findEvery
	if answered {
		k.failures = 0
	} else {
		pause = min(findRetry<<min(k.failures, 10)/2, findEvery)
		k.failures++
	}
	k.due = began.Add(pause - findLook/2)
}

// find asks quiet bases until ctx ends, and returns when nobody is asked any more.
func (t *Tunnel) find(ctx context.Context, sink tunnel.Sink) {
	var asks sync.WaitGroup
	defer asks.Wait()
	look := time.NewTicker(findLook)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case began := <-look.C:
			for _, q := range t.finder.due(t.cfg.Quiet(), began) {
				asks.Go(func() { t.finder.end(q, began, t.askQuiet(ctx, q, sink)) })
			}
		}
	}
}

// askQuiet asks one, and says whether it need not be asked again soon. One that another
// replica owns is asked there; one that nobody owns is asked by all, and claimed by one.
func (t *Tunnel) askQuiet(ctx context.Context, q Quiet, sink tunnel.Sink) bool {
	h := q.heartbeat(t.cfg.Env)
	switch {
	case !t.cfg.Gate.Valid():
		return false
	case t.cfg.Peers != nil && t.cfg.Peers.Owns(h.Base):
		return true
	}
	if no := t.admitQuiet(q, h); no != nil {
		t.meter.Dropped(Name, no.reason)
		t.refusals.Tell("base not asked", no.reason, q.Name, zap.String("workload", q.Name), zap.Error(no.err))
		return false
	}
	if err := t.meet(ctx, h); err != nil {
		t.log.Debug("quiet base does not answer", zap.Stringer("base", h.Base), zap.String("workload", q.Name), zap.Error(failure{err}))
		return false
	}
	if ctx.Err() == nil {
		sink.Heartbeat(*h)
	}
	return true
}

// heartbeat is what a quiet base would say. Its identity is the declared one, or its address.
func (q Quiet) heartbeat(env string) *tunnel.Heartbeat {
	h := &tunnel.Heartbeat{
		Tunnel: Name, Sender: q.sender(), Port: q.Port,
		Name: tunnel.Say(q.Base.Name, maxWord), Version: tunnel.Say(q.Base.Version, maxWord),
		Cluster: tunnel.Say(q.Base.Cluster, maxWord), Hostname: tunnel.Say(q.Base.Hostname, maxWord),
	}
	if len(q.Addresses) > 0 {
		h.IP = q.Addresses[0].String()
	}
	h.Base = tunnel.BaseID{Env: env, Identity: cmp.Or(q.Identity, h.IP)}
	return h
}

// admitQuiet refuses a workload that may not be the base that it is said to be, as it would be
// refused if it said so itself from its address.
func (t *Tunnel) admitQuiet(q Quiet, h *tunnel.Heartbeat) *refusal {
	if err := tunnel.CheckIdentity(h.Base.Identity); err != nil {
		return refuse(http.StatusBadRequest, string(arklet.BadIdentity), err)
	}
	at, err := t.cfg.Workloads.At(addressOf(h))
	switch {
	case q.Port == 0:
		return refuse(http.StatusBadRequest, "no_port", errors.New("the port that the Pod says is none: write a number from 1 to 65535 into the annotation"))
	case err != nil:
		return noWorkload(err)
	case at.Name != q.Name:
		return forbid("sender_mismatch", fmt.Errorf("%s has the address %s", at.Name, h.IP))
	}
	return first(t.admission.mayBe(q.Workload, h.Base.Identity), t.place(h), t.guests.admit(q.Name, h.Base.Identity, time.Now()))
}

// meet asks a quiet base how it is, and completes what is said of it by its answer.
func (t *Tunnel) meet(ctx context.Context, h *tunnel.Heartbeat) error {
	ctx, cancel := context.WithTimeout(ctx, min(firstAnswer, t.cfg.Timeout))
	defer cancel()
	path := arklet.Path(tunnel.ReadHealth)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+h.Endpoint().String()+"/"+path, bytes.NewReader([]byte("{}")))
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(req)
	if err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(arklet.Limit(path)+1)))
	if err = errors.Join(err, ctx.Err()); err != nil {
		return fmt.Errorf("post %s: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("post %s: %w: status %s", path, errAnswer, resp.Status)
	}
	if err := arklet.DecodeMaster(body, h); err != nil {
		return fmt.Errorf("post %s: %w: %w", path, errAnswer, err)
	}
	h.Received = time.Now()
	return nil
}
