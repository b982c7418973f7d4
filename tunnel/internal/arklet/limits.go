package arklet

import (
	"bytes"
	"encoding/json"
)

// Limits of what is read. A real list of 100 modules has about 20 KB, a real heartbeat or
// health up to 3 KB, a real stack trace up to 20 KB of text, or, where each of its frames
// is an object (the record of an asynchronous command), some 300 KB.
const (
	// MaxMessage is the maximum length of any message that is read, in bytes.
	MaxMessage = maxAnswer
	maxAnswer  = 512 << 10 // of an answer to a command
	maxList    = 256 << 10 // of a module list
	maxOther   = 64 << 10  // of anything else
	maxDepth   = 32        // of nested objects and arrays
	maxModules = 4096      // in a list
	maxHelp    = 256       // commands that a base supports
	maxName    = 128       // bytes of a module's name or version
)

// Limit gives the maximum length in bytes of what a base answers at an HTTP path: read no
// more of it.
func Limit(at string) int {
	switch path(at) {
	case pathList:
		return maxList
	case pathInstall, pathUninstall, pathSwitch, pathOps:
		return maxAnswer
	case pathHealth, pathHelp, pathBaseline:
	}
	return maxOther
}

// LimitMQTT gives the maximum length in bytes of a message over MQTT.
func LimitMQTT(k Kind) int {
	switch k {
	case KindList:
		return maxList
	case KindAnswer, KindBatch:
		return maxAnswer
	case KindHeart, KindBaseline, KindHealth:
	}
	return maxOther
}

// decode reads JSON after checking its size and depth. What it costs is bounded by the
// size: no decoder of this package makes more of a message than a small multiple of it.
func decode(payload []byte, limit int, into any) error {
	if len(payload) > limit {
		return refuse(TooLarge, "%d bytes, at most %d are read", len(payload), limit)
	}
	if deep(payload) {
		return refuse(TooDeep, "nested more than %d deep", maxDepth)
	}
	if !json.Valid(payload) {
		return refuse(NotJSON, "%d bytes", len(payload))
	}
	if err := json.Unmarshal(payload, into); err != nil {
		return refuse(WrongType, "%v", err)
	}
	return nil
}

// each has the elements of a valid JSON array read one by one, at most so many: an array
// that is made a slice whole takes many times its length. More says that there are others.
// Read decodes one element, and ends the reading with an error.
func each(raw json.RawMessage, most int, read func(*json.Decoder) error) (more bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if begin, err := dec.Token(); err != nil || begin != json.Delim('[') {
		return false, refuse(WrongType, "a list is expected, and not %v", begin)
	}
	for range most {
		if !dec.More() {
			return false, nil
		}
		if err := read(dec); err != nil {
			return false, err
		}
	}
	return dec.More(), nil
}

// lastElement gives the last element of a valid JSON array; nil of an empty one, and of
// what is none.
func lastElement(raw []byte) json.RawMessage {
	if !bytes.HasPrefix(raw, []byte("[")) {
		return nil
	}
	from, depth := 1, 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; c {
		case '"':
			i += stringLength(raw[i:]) - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 1 {
				from = i + 1
			}
		}
	}
	return bytes.TrimSpace(raw[from : len(raw)-1])
}

// stringLength is the length of the JSON string that a text begins with.
func stringLength(raw []byte) int {
	for i := 1; i < len(raw); i++ {
		switch raw[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(raw)
}

// deep reports whether JSON nests deeper than maxDepth.
func deep(payload []byte) bool {
	depth := 0
	for i := 0; i < len(payload); i++ {
		switch payload[i] {
		case '"':
			i += stringLength(payload[i:]) - 1
		case '{', '[':
			if depth++; depth > maxDepth {
				return true
			}
		case '}', ']':
			depth--
		}
	}
	return false
}
