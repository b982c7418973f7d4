package arklet

import (
	"slices"
	"strings"

	"module-controller/tunnel"
)

const topicPrefix = "koupleless_"

// Kind is the kind of an MQTT message from a base.
type Kind string

// The kinds; each is the last segment of its topic.
const (
	KindHeart    Kind = "heart"
	KindBaseline Kind = "queryBaseline" // the base's process has just started
	KindHealth   Kind = "health"
	KindList     Kind = "simpleBiz"
	KindAnswer   Kind = "bizOperation"
	KindBatch    Kind = "batchInstallBizResponse"
)

// Discovery gives the topic filters on which bases announce themselves.
func Discovery(env string) []string {
	root := topicPrefix + env + "/+/base/"
	return []string{root + string(KindHeart), root + string(KindBaseline)}
}

// Wildcards gives the topic filters for every report of every base of an
// environment.
func Wildcards(env string) []string {
	root := topicPrefix + env + "/+/base/"
	return []string{root + string(KindHealth), root + string(KindList), root + string(KindAnswer), root + string(KindBatch)}
}

// Reports gives the topic filter for every message of one base.
func Reports(b tunnel.BaseID) string { return topicPrefix + b.Env + "/" + b.Identity + "/base/+" }

// Retained gives the topic filters on which other controllers leave retained commands.
func Retained(env string) []string {
	root := topicPrefix + env + "/+/"
	return []string{root + string(pathInstall), root + string(pathUninstall), root + string(pathList), root + string(pathHealth), root + string(pathBaseline)}
}

// IsBaseline says of a topic that it is that of what a base is to install at its start: who
// hears all reports of a base hears it, too, whoever says it.
func IsBaseline(topic string) bool {
	return strings.HasPrefix(topic, topicPrefix) && strings.HasSuffix(topic, "/"+string(pathBaseline))
}

// IsCommand says whether a topic is one of a base of an environment on which commands are
// retained. It has no wildcard; the identity may be one that is not accepted.
func IsCommand(env, topic string) bool {
	rest, is := strings.CutPrefix(topic, topicPrefix+env+"/")
	identity, command, _ := strings.Cut(rest, "/")
	if !is || identity == "" || strings.ContainsAny(topic, "+#") {
		return false
	}
	return slices.Contains(Retained(env), topicPrefix+env+"/+/"+command)
}

// Speaker gives whose a topic is, as it stands there and unchecked: anybody may have chosen it.
// Both are empty where it is no base's.
func Speaker(topic string) (env, identity string) {
	parts := strings.Split(topic, "/")
	env, is := strings.CutPrefix(parts[0], topicPrefix)
	if !is || len(parts) < 3 {
		return "", ""
	}
	return env, parts[1]
}

// ParseTopic splits the topic of a message from a base.
func ParseTopic(topic string) (tunnel.BaseID, Kind, error) {
	parts := strings.Split(topic, "/")
	if len(parts) != 4 || parts[2] != "base" || !strings.HasPrefix(parts[0], topicPrefix) {
		return tunnel.BaseID{}, "", refuse(UnknownTopic, "%q", topic)
	}
	b := tunnel.BaseID{Env: strings.TrimPrefix(parts[0], topicPrefix), Identity: parts[1]}
	if err := tunnel.CheckIdentity(b.Identity); err != nil {
		return tunnel.BaseID{}, "", refuse(BadIdentity, "%v", err)
	}
	switch k := Kind(parts[3]); k {
	case KindHeart, KindBaseline, KindHealth, KindList, KindAnswer, KindBatch:
		return b, k, nil
	}
	return tunnel.BaseID{}, "", refuse(UnknownTopic, "%q", topic)
}
