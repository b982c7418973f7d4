package plan

import (
	"slices"

	"module-controller/tunnel"
)

// How many commands a base gets at a time. A command that was not answered in time is lost,
// or the base is at it for long; it must not keep others back for ever. But a base over MQTT
// has few threads for everything that it is asked, lists too, so not every install that takes
// long makes room for one more.

// Affordable gives those of the planned commands that may be sent now, where so many may be
// in flight. What is sent for the first time comes before what is asked for again.
func (m Memory) Affordable(commands []Planned, most int) []Planned {
	inFlight, late := m.InFlight(), m.late()
	var sent []Planned
	for _, c := range m.firstOnes(commands) {
		again := m.repeats(c)
		switch {
		case inFlight >= most:
			return sent
		case c.Verb == tunnel.InstallModule && !again && inFlight+late > most:
			continue
		case again && m.Attempts[c.Module.Name].late():
			late--
		}
		inFlight++
		sent = append(sent, c)
	}
	return sent
}

// Full says that no install may be sent for the first time, where so many commands may be in
// flight.
func (m Memory) Full(most int) bool {
	inFlight := m.InFlight()
	return inFlight >= most || inFlight+m.late() > most
}

// InFlight is how many commands were sent that may be answered in time.
func (m Memory) InFlight() int {
	n := 0
	for _, a := range m.Attempts {
		switch {
		case a.Restarted, a.Answer != nil, a.Late, a.Hung: // a start that never ends may not use the base up
		default:
			n++
		}
	}
	return n
}

// Pending says that something was sent of which the end is to be known before the base may be
// another's. A late uninstall or switch is not: whoever has the base then asks for it anew.
func (m Memory) Pending() bool {
	for _, a := range m.Attempts {
		if a.Verb == tunnel.InstallModule || !a.Late {
			return true
		}
	}
	return false
}

// late is how many commands the base may be at that do not count as in flight.
func (m Memory) late() int {
	n := 0
	for _, a := range m.Attempts {
		if a.late() {
			n++
		}
	}
	return n
}

// late says that the base may be at a command that does not count as in flight.
func (a Attempt) late() bool {
	switch {
	case a.Restarted, a.Hung:
		return false
	case a.Answer == nil:
		return a.Late
	}
	return a.busy()
}

// repeats says that a command asks once more for what was not answered in time.
func (m Memory) repeats(c Planned) bool { return m.Attempts[c.Module.Name].Verb != "" }

// firstOnes puts commands first that repeat nothing.
func (m Memory) firstOnes(commands []Planned) []Planned {
	again := slices.DeleteFunc(slices.Clone(commands), func(c Planned) bool { return !m.repeats(c) })
	first := slices.DeleteFunc(slices.Clone(commands), m.repeats)
	return append(first, again...)
}
