package plan

import (
	"maps"
	"time"

	"module-controller/tunnel"
)

// collector looks for what is listed and requested by nobody, and forgets what is gone.
type collector struct{ *planner }

func (c collector) collect() {
	since := c.out.Memory.Unmanaged
	c.out.Memory.Unmanaged = map[tunnel.ModuleKey]time.Time{}
	for _, m := range c.in.Seen.Modules {
		n := c.demand.name(m.Name)
		at, known := since[m.ModuleKey]
		switch {
		case n.work >= busy, c.in.Seen.Partial: // who will have it is not known
			if known {
				c.out.Memory.Unmanaged[m.ModuleKey] = at
			}
		case c.demand.of(m.ModuleKey) == unrequested:
			c.unmanaged(n, m.ModuleKey, at)
		default: // a pod has it again, so its grace begins anew
		}
	}
	c.forgetGone()
}

// unmanaged remembers since when nobody requests a module, zero for since now, and
// uninstalls it once its grace is over, if it is ours to uninstall.
func (c collector) unmanaged(n *name, key tunnel.ModuleKey, since time.Time) {
	if since.IsZero() {
		since = c.in.Now
		c.out.event("", true, "UnmanagedModule", key.String()+" is installed but not requested by any pod")
	}
	c.out.Memory.Unmanaged[key] = since
	switch {
	case !c.collectable(key):
		c.out.Unmanaged = append(c.out.Unmanaged, key)
	case c.out.tooEarly(since.Add(c.in.Config.UnmanagedGrace)):
	case n.work == idle:
		c.uninstall(n, key)
	}
}

// collectable says whether a module that nobody requests may be uninstalled.
func (c collector) collectable(key tunnel.ModuleKey) bool {
	return c.out.Memory.Installed[key] || c.in.Config.Policy == PolicyUninstall
}

// forgetGone forgets that this controller installed what is not there any more. While
// a command of whoever served the base before may be in flight, it may still come.
func (c collector) forgetGone() {
	if c.inherits() {
		return
	}
	maps.DeleteFunc(c.out.Memory.Installed, func(key tunnel.ModuleKey, _ bool) bool {
		return c.list.of(key) == absent && c.demand.name(key.Name).work < busy
	})
}
