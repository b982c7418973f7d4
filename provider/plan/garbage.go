package plan

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"module-controller/tunnel"
)

// collector looks for what is listed and requested by nobody, and forgets what is gone.
type collector struct {
	*planner
	found []tunnel.ModuleKey // those that were seen unrequested for the first time
}

func (c *collector) collect() {
	since := c.out.Memory.Unmanaged
	c.out.Memory.Unmanaged = make(map[tunnel.ModuleKey]time.Time, len(since))
	for _, m := range c.in.Seen.Modules {
		at, known := since[m.ModuleKey]
		switch {
		case c.demand.workOn(m.Name) >= busy, c.in.Seen.Partial: // who will have it is not known
			if known {
				c.out.Memory.Unmanaged[m.ModuleKey] = at
			}
		case c.demand.of(m.ModuleKey) == unrequested:
			c.unmanaged(m.ModuleKey, at)
		default: // a pod has it again, so its grace begins anew
		}
	}
	c.tell()
	c.forgetGone()
}

// unmanaged remembers since when nobody requests a module, zero for since now, and
// uninstalls it once its grace is over, if it is ours to uninstall.
func (c *collector) unmanaged(key tunnel.ModuleKey, since time.Time) {
	if since.IsZero() {
		since = c.in.Now
		c.found = append(c.found, key)
	}
	c.out.Memory.Unmanaged[key] = since
	switch {
	case !c.collectable(key):
		c.out.Unmanaged = append(c.out.Unmanaged, key)
	case c.out.tooEarly(since.Add(c.in.Config.UnmanagedGrace)):
	case c.demand.workOn(key.Name) == idle:
		c.uninstall(c.demand.name(key.Name), key)
	}
}

// maxTold is how many modules one event names.
const maxTold = 5

// tell tells of all that was found in one event: a base may list thousands.
func (c *collector) tell() {
	if len(c.found) == 0 {
		return
	}
	var names []string
	for _, key := range c.found[:min(len(c.found), maxTold)] {
		names = append(names, key.String())
	}
	text, is := strings.Join(names, ", "), " is"
	if more := len(c.found) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	if len(c.found) > 1 {
		is = " are"
	}
	c.out.event("", true, ReasonUnmanaged, text+is+" installed but not requested by any pod")
}

// collectable says whether a module that nobody requests may be uninstalled.
func (c *collector) collectable(key tunnel.ModuleKey) bool {
	return c.out.Memory.Installed[key] || c.in.Config.Policy == PolicyUninstall
}

// forgetGone forgets that this controller installed what is not there any more. While
// a command of whoever served the base before may be in flight, it may still come.
func (c *collector) forgetGone() {
	if c.inherits() {
		return
	}
	maps.DeleteFunc(c.out.Memory.Installed, func(key tunnel.ModuleKey, _ bool) bool {
		return c.list.of(key) == absent && c.demand.workOn(key.Name) < busy
	})
}
