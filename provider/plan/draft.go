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
	// planned has Commands by their modules.
	planned map[tunnel.ModuleKey]tunnel.Command
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

// command plans a command of a name, for a pod or, with an empty one, for nobody.
func (d *draft) command(n *name, pod types.UID, c tunnel.Command) {
	n.raise(commanded)
	d.Commands = append(d.Commands, Planned{Command: c, Pod: pod})
	if d.planned == nil {
		d.planned = map[tunnel.ModuleKey]tunnel.Command{}
	}
	d.planned[c.Module] = c
}

// doing gives the command for a module that is in flight or planned; the zero Command
// where there is none.
func (d *draft) doing(key tunnel.ModuleKey) tunnel.Command {
	if a := d.Memory.Attempts[key.Name]; a.Module == key {
		return a.Command
	}
	return d.planned[key]
}
