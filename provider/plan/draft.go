package plan

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// draft is an Output in the making.
type draft struct {
	Output
	now time.Time
	// announced has, by name, Commands, and those that wait until the pods show them.
	announced map[string]tunnel.Command
}

// wake asks to plan again at a time, if nothing earlier is due.
func (d *draft) wake(at time.Time) {
	if d.Next.IsZero() || at.Before(d.Next) {
		d.Next = at
	}
}

// tooEarly says whether a time is still to come, and asks to plan again then.
func (d *draft) tooEarly(at time.Time) bool {
	if !d.now.Before(at) {
		return false
	}
	d.wake(at)
	return true
}

func (d *draft) event(pod types.UID, warning bool, reason, message string) {
	d.Events = append(d.Events, Event{Pod: pod, Warning: warning, Reason: reason, Message: clip(message)})
}

func (d *draft) command(c Planned) {
	d.announce(c.Command)
	d.Commands = append(d.Commands, c)
}

// announce lets pods show a command, whether it is planned now or waits for them.
func (d *draft) announce(c tunnel.Command) {
	if d.announced == nil {
		d.announced = map[string]tunnel.Command{}
	}
	d.announced[c.Module.Name] = c
}

// under gives the command for a name that is in flight, planned or announced; the zero
// Command where there is none.
func (d *draft) under(name string) tunnel.Command {
	if c, is := d.announced[name]; is { // it takes the place of an attempt that has lapsed
		return c
	}
	return d.Memory.Attempts[name].Command
}

// doing gives the command for a module, as under does for its name.
func (d *draft) doing(key tunnel.ModuleKey) tunnel.Command {
	if c := d.under(key.Name); c.Module == key {
		return c
	}
	return tunnel.Command{}
}
