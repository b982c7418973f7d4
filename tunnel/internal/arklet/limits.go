package arklet

import "encoding/json"

// Limits of what is read. A real list of 100 modules has about 20 KB, a real stack
// trace up to 20 KB.
const (
	// MaxMessage is the length in bytes of the longest message that is read.
	MaxMessage = 1 << 20
	maxDepth   = 32
	maxModules = 4096
	maxName    = 128
)

// decode reads JSON after it made sure that it is small and flat enough.
func decode(payload []byte, into any) error {
	if len(payload) > MaxMessage {
		return refuse(TooLarge, "%d bytes, at most %d are read", len(payload), MaxMessage)
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

// deep says whether JSON nests beyond maxDepth.
func deep(payload []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(payload); i++ {
		switch c := payload[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
