package mqtttunnel

import (
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	tellEvery = time.Minute
	maxTold   = 100 // lines in tellEvery, whoever sends
)

// told holds what was told in the log lately, so that each kind of refusal is told once
// for each sender in tellEvery, and a flood of senders fills no log.
type told struct {
	mu sync.Mutex
	// mu guards what follows
	since time.Time
	lines map[telling]bool
	more  int // tellings that were too many
}

type telling struct{ what, who string }

// first says whether something is to be told now, and how many others were not since the
// last time.
func (t *told) first(what, who string, now time.Time) (tell bool, more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.since) >= tellEvery {
		more = t.more
		t.since, t.lines, t.more = now, map[telling]bool{}, 0
	}
	line := telling{what, who}
	switch {
	case t.lines[line]:
		return false, 0
	case len(t.lines) >= maxTold:
		t.more++
		return false, 0
	}
	t.lines[line] = true
	return true, more
}

// quiet are reasons that are no refusals: messages that are others' to hear.
var quiet = map[string]bool{"not_followed": true}

// drop counts a message that is not believed, and tells of it.
func (t *Tunnel) drop(topic, reason string, fields ...zap.Field) {
	t.meter.Dropped(Name, reason)
	if quiet[reason] {
		return
	}
	shown := shownTopic(topic)
	if tell, more := t.told.first(reason, shown, time.Now()); tell {
		fields = append(fields, zap.String("topic", shown), zap.String("reason", reason), zap.Int("notTold", more))
		t.log.Warn("message dropped", fields...)
	}
}

// cut counts and tells of a message that was too large to be read.
func (t *Tunnel) cut(topic string, size int) {
	t.drop(topic, "too_large", zap.Int("bytes", size), zap.Int("most", t.cfg.MaxPacket))
}

// maxShown is the longest topic that is shown, in bytes. Those of bases are shorter.
const maxShown = 400

// shownTopic is a topic as it may stand in a log: anybody may have chosen it.
func shownTopic(topic string) string {
	quoted := strconv.QuoteToASCII(topic[:min(len(topic), maxShown)])
	return quoted[1 : len(quoted)-1]
}
