package basetest

import (
	"slices"
	"time"
)

// Faults are what is wrong with a base now. Counts fall as they are used up.
type Faults struct {
	// Stopped: its process has ended; see Base.Stop.
	Stopped bool
	// Silent: nothing reaches it and nothing comes from it, as when it is frozen or
	// its network is away. When it ends, the base goes on as before.
	Silent bool
	// NoHeartbeat: it answers, but announces itself no more.
	NoHeartbeat bool
	// Mute: it announces itself, but answers nothing. Commands are done all the same.
	Mute bool
	// Slow delays each command.
	Slow time.Duration
	// LoseAnswers is how many answers to installs, uninstalls and switches get lost.
	LoseAnswers int
	// FailInstalls is how many installs fail, with FailWith as Jar.FailWith.
	FailInstalls int
	FailWith     string
	// FailUninstalls is how many uninstalls fail; the module stays listed. FailUninstallsWith
	// is what is thrown, as Jar.FailWith; by default the base answers FAILED for a file
	// that it cannot delete.
	FailUninstalls     int
	FailUninstallsWith string
	// KeepUninstalled is how many uninstalls answer success and leave the module as it is.
	KeepUninstalled int
	// HangStarts is how many modules begin to start and never end; see Base.EndStarts.
	HangStarts int
	// Download delays each install before its module is listed, beside Jar.Download.
	Download time.Duration
	// SlowUninstalls is how long a module takes to stop, which is deactivated meanwhile;
	// SlowSwitches is how long a switch takes, which shows nothing before it is done.
	SlowUninstalls, SlowSwitches time.Duration
	// LateLists delays each list on its way: it tells what was there when it was asked for.
	LateLists time.Duration
	// WithoutEffect is how many installs answer success and do nothing.
	WithoutEffect int
	// ErrorWithEffect is how many installs and uninstalls are done and answer an error.
	ErrorWithEffect int

	// Unhealthy are the modules, by name, that answer 500 at /health if they listen;
	// "*" is all. HangRequests: no request to a module is answered.
	Unhealthy    []string // replaced, never changed in place
	HangRequests bool

	// Over MQTT only: Duplicate is how many reports are sent twice, Late delays each
	// report, and Reorder is how many are held until another one was sent.
	Duplicate int
	Late      time.Duration
	Reorder   int
}

// Set changes what is wrong with the base.
func (b *Base) Set(change func(*Faults)) {
	b.mu.Lock()
	change(&b.faults)
	b.mu.Unlock()
	b.changed()
}

// Resume ends all faults but a stopped process and a heartbeat that has died.
func (b *Base) Resume() {
	b.Set(func(f *Faults) { *f = Faults{Stopped: f.Stopped} })
}

// Faults gives what is wrong with the base.
func (b *Base) Faults() Faults {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.faults
}

// away reports that nothing reaches the base.
func (f Faults) away() bool { return f.Silent || f.Stopped }

func (f Faults) unhealthy(module string) bool {
	return slices.ContainsFunc(f.Unhealthy, func(name string) bool { return name == module || name == "*" })
}

// use takes one of a fault's count; false when none is left.
func (b *Base) use(count func(*Faults) *int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return take(count(&b.faults))
}

// take takes one of a count; false when none is left.
func take(n *int) bool {
	if *n <= 0 {
		return false
	}
	*n--
	return true
}

// raw is a message that is sent as it is.
type raw struct {
	where string
	body  []byte
}

// Say has the base send any message, garbage too: over MQTT on a topic below
// "koupleless_{env}/{identity}/", over HTTP to a path of the endpoint. It is sent as
// soon as the base can send.
func (b *Base) Say(where string, body []byte) {
	b.mu.Lock()
	b.outbox = append(b.outbox, raw{where, body})
	b.mu.Unlock()
	b.changed()
}

// takeOutbox gives what Say wants sent.
func (b *Base) takeOutbox() []raw {
	b.mu.Lock()
	defer b.mu.Unlock()
	waiting := b.outbox
	b.outbox = nil
	return waiting
}
