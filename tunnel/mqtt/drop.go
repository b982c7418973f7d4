package mqtttunnel

import (
	"strconv"

	"go.uber.org/zap"
)

// quiet are reasons that are no refusals: messages that are others' to hear.
var quiet = map[string]bool{"not_followed": true}

// drop counts a message that is not believed, and tells of it.
func (t *Tunnel) drop(topic, reason string, fields ...zap.Field) {
	t.meter.Dropped(Name, reason)
	if quiet[reason] {
		return
	}
	shown := ShownTopic(topic)
	t.refusals.Tell("message dropped", reason, shown, append(fields, zap.String("topic", shown))...)
}

// cut counts and tells of a message that was too large to be read.
func (t *Tunnel) cut(topic string, size int) {
	t.drop(topic, "too_large", zap.Int("bytes", size), zap.Int("most", t.cfg.MaxPacket))
}

// maxShown is the longest topic that is shown, in bytes. Those of bases are shorter.
const maxShown = 400

// ShownTopic is a topic as it may stand in a log or on a terminal: anybody may have chosen it.
// It is cut to 400 bytes.
func ShownTopic(topic string) string {
	quoted := strconv.QuoteToASCII(topic[:min(len(topic), maxShown)])
	return quoted[1 : len(quoted)-1]
}
