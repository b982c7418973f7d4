package mqtttunnel

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"
)

// control is what one connection tells itself and, by the broker, the other replicas. It
// says nothing of the client id: whoever knows that can take the connection away.
type control struct {
	// probe is the topic of messages to ourselves, gone that of the last will: the broker
	// publishes it when it loses the connection.
	probe, gone string
	// secret is what the will says. Only its hash is known before, to other replicas: who
	// says it has had it from the broker, when the connection was lost.
	secret string
}

const ownTopics = "module-controller/"

func newControl() control {
	root := ownTopics + rand.Text()
	return control{probe: root + probeEnd, gone: root + goneEnd, secret: rand.Text()}
}

const (
	probeEnd = "/probe"
	goneEnd  = "/gone"
	// goneFilter is what the wills of all replicas match.
	goneFilter = ownTopics + "+" + goneEnd
)

func isGone(topic string) bool {
	return strings.HasPrefix(topic, ownTopics) && strings.HasSuffix(topic, goneEnd)
}

// hashOf is what others may know of a secret.
func hashOf(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:])
}

// receiveGone takes in that the broker lost somebody's connection. What is retained may
// be years old, and what names no replica's secret is anybody's word.
func (s *session) receiveGone(m paho.Message) {
	if m.Retained() || !s.cfg.Gone(hashOf(m.Payload())) {
		s.drop(m.Topic(), "gone_unproved")
		return
	}
	s.log.Info("broker lost a replica's connection", zap.String("topic", ShownTopic(m.Topic())))
}
