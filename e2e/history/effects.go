package history

import (
	"math"
	"slices"
	"time"
)

// bounds are how often something is to happen.
type bounds struct{ least, most int }

func (b bounds) plus(o bounds) bounds { return bounds{b.least + o.least, b.most + o.most} }

// whatever is any number, small enough to be added up.
var whatever = bounds{0, math.MaxInt32}

// installs is how often each module of a pod is to be installed.
func (p Pod) installs() bounds {
	switch {
	case p.Before:
		return bounds{}
	case p.Meets:
		return whatever
	case p.Ready.IsZero(): // it was deleted before, and its module may not have been shown yet
		return bounds{0, 1}
	}
	return bounds{1, 1}
}

// uninstalls is how often each module of a pod is to be uninstalled.
func (p Pod) uninstalls() bounds {
	switch {
	case p.Meets:
		return whatever
	case p.Gone.IsZero():
		return bounds{}
	case p.Ready.IsZero():
		return bounds{0, 1}
	}
	return bounds{1, 1}
}

// asked checks that what took effect is what pods asked for, once each. That holds for a
// base that lies too: an uninstall that it did not do is none.
func (c *check) asked(base string) {
	byUID, installs, uninstalls := map[string]Pod{}, map[string]bounds{}, map[string]bounds{}
	for _, p := range c.podsOn(base) {
		byUID[p.UID] = p
		for _, m := range p.Modules {
			installs[m] = installs[m].plus(p.installs())
			uninstalls[m] = uninstalls[m].plus(p.uninstalls())
		}
	}
	c.askedOnce(base, byUID)
	c.counts(base, "installed", c.Effects[base].Installs, installs)
	c.counts(base, "uninstalled", c.Effects[base].Uninstalls, uninstalls)
}

// askedOnce checks that each command was for a pod on the base that has its module, and
// none was given twice.
func (c *check) askedOnce(base string, byUID map[string]Pod) {
	given := map[[3]string]bool{} // verb, module and pod
	for _, command := range c.Effects[base].Commands {
		_, uid, err := request(command.Request)
		if err != nil || uid == "controller" {
			continue
		}
		p, known := byUID[uid]
		if !known || !slices.Contains(p.Modules, command.Module) {
			c.bad("I5: %s got %s %s for pod %s, which did not ask for it", base, command.Verb, command.Module, uid)
		}
		if p.Meets || c.faulty(base, command.At) {
			continue
		}
		once := [3]string{command.Verb, command.Module, uid}
		if given[once] {
			c.bad("I5: %s got %s %s for pod %s again at %s (%s)", base, command.Verb, command.Module, uid, stamp(command.At), command.Request)
		}
		given[once] = true
	}
}

// faulty says that a base may not have done, or not shown, what it was told at a moment.
// Who told it cannot know that it did, and may tell it again: such a command counts for
// none.
func (c *check) faulty(base string, at time.Time) bool {
	return slices.ContainsFunc(c.Faults, func(f Fault) bool {
		return slices.Contains(f.Faulty, base) && at.After(f.Begun.Add(-inFlight)) && at.Before(f.Ended.Add(inFlight))
	})
}

func (c *check) counts(base, done string, is map[string]int, want map[string]bounds) {
	for _, module := range sortedKeys(want) {
		switch n, w := is[module], want[module]; {
		case n >= w.least && n <= w.most:
		case w.least == w.most:
			c.bad("I5: %s was %s %d times on %s, want %d", module, done, n, base, w.most)
		default:
			c.bad("I5: %s was %s %d times on %s, want %d to %d", module, done, n, base, w.least, w.most)
		}
	}
	for _, module := range sortedKeys(is) {
		if _, known := want[module]; !known {
			c.bad("I5: %s was %s %d times on %s, and no pod asked", module, done, is[module], base)
		}
	}
}

// served checks that no pod was gone while its module served, whatever the base said of
// it, and that in the end the base serves what its pods ask for and nothing else.
func (c *check) served(base string) {
	served := c.Effects[base].Served
	if served == nil {
		return
	}
	want := map[string]bool{}
	for _, p := range c.podsOn(base) {
		c.servedFor(p, served)
		for _, m := range p.Modules {
			want[m] = want[m] || !p.Ready.IsZero() && p.Gone.IsZero()
		}
	}
	last := servedAt(served, c.Ended)
	for _, m := range sortedKeys(want) {
		if want[m] != slices.Contains(last, m) {
			c.bad("I5: in the end %s serves %q, and pods ask for %s: %v", base, last, m, want[m])
		}
	}
}

// servedFor checks that no module of a pod served on when that was gone. Where revisions
// meet, another pod may have it.
func (c *check) servedFor(p Pod, served []Serving) {
	if p.Meets || p.Gone.IsZero() {
		return
	}
	now := servedAt(served, p.Gone)
	for _, m := range p.Modules {
		if slices.Contains(now, m) {
			c.bad("I4: the pod of %s on %s was gone at %s, and its module served on", m, p.Base, stamp(p.Gone))
		}
	}
}

// podsOn are those of a base.
func (c *check) podsOn(base string) (pods []Pod) {
	for _, p := range c.Pods {
		if p.Base == base {
			pods = append(pods, p)
		}
	}
	return pods
}

// servedAt is what served at a moment.
func servedAt(served []Serving, at time.Time) (modules []string) {
	for _, s := range served {
		if s.At.After(at) {
			break
		}
		modules = s.Modules
	}
	return modules
}
