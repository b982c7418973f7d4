package mqtttunnel

import (
	"strconv"

	"go.uber.org/zap"

	"module-controller/tunnel/internal/arklet"
)

// quiet are reasons that are no refusals: messages that are others' to hear.
var quiet = map[string]bool{"not_followed": true}

// malformed is what is to be done where the message itself is wrong.
const malformed = "no setting changes it: see what publishes there, and which version of the runtime it is"

// remedies are what changes that messages are dropped, by the reason.
var remedies = map[string]string{
	"unknown_env":       "add the environment to ENV if its bases are yours",
	"too_large":         "MQTT_MAX_PACKET bounds all messages; those that announce a base may have 16 KiB, lists 256 KiB, and no setting changes that",
	"retained":          "no setting changes it: have the base's messages not retained, and clear what the broker keeps on the topic; MQTT_CLEAR_RETAINED clears commands",
	"gone_unproved":     "no setting changes it: let the broker permit module-controller/# to the controller's user only, and no message there be retained",
	"base_busy":         "no setting changes it: have the base send less",
	"decoders_busy":     "give the replica more CPU, or run more replicas; with MQTT_WILDCARDS each hears all bases",
	subscriptionRefused: "let the broker permit MQTT_USERNAME to read the topic, or more subscriptions; MQTT_WILDCARDS needs few",
	"too_deep":          malformed,
	"not_json":          malformed,
	"wrong_type":        malformed,
	"bad_identity":      malformed,
	"identity_mismatch": malformed,
	"unknown_topic":     malformed,
	"bad_module":        malformed,
}

// drop counts a message that is not believed, and tells of it: of whom it is by its topic, why
// it is dropped, and what changes that. A sender is told apart by its identity, and what a broker
// keeps by its topic: each has to be cleared.
func (t *Tunnel) drop(topic, reason string, fields ...zap.Field) {
	t.meter.Dropped(Name, reason)
	if quiet[reason] {
		return
	}
	shown, who := ShownTopic(topic), ShownTopic(topic)
	if env, identity := arklet.Speaker(topic); identity != "" {
		env, identity = ShownTopic(env), ShownTopic(identity)
		if reason != "retained" {
			who = env + "/" + identity
		}
		fields = append(fields, zap.String("env", env), zap.String("identity", identity))
	}
	t.refusals.Tell("message dropped", reason, who, append(fields, zap.String("topic", shown), zap.String("remedy", remedies[reason]))...)
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
