package tunnel

import "time"

// Meter counts what tunnels do. Its methods return at once and may be called from
// any goroutine.
type Meter interface {
	// Dropped counts a received message that was discarded. reason has few values.
	Dropped(tunnel, reason string)
	// Command counts a command and how long it took to be sent (MQTT) or answered
	// (HTTP). outcome has few values.
	Command(tunnel string, v Verb, outcome string, took time.Duration)
}

// NoMeter counts nothing.
var NoMeter Meter = noMeter{}

type noMeter struct{}

func (noMeter) Dropped(string, string)                      {}
func (noMeter) Command(string, Verb, string, time.Duration) {}
