package arklet

import "encoding/json"

// Limits of what is read. A real list of 100 modules has about 20 KB, a real stack
// trace up to 20 KB.
const (
	// MaxMessage is the maximum length of a message that is read, in bytes.
	MaxMessage = 1 << 20
	maxDepth   = 32   // of nested objects and arrays
	maxModules = 4096 // in a list
	maxName    = 128  // bytes of a module's name or version
)

// decode reads JSON after checking its size and depth.
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

// deep reports whether JSON nests deeper than maxDepth.
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
