package history

import "slices"

// written checks that who changed a Node, or a pod on it, owned the base then. Claims
// are seen a little later than they are made.
func (c *check) written(w Write) {
	if w.At.Before(c.Began) {
		return // who was the owner then was not seen
	}
	owner := "nobody"
	for _, claim := range c.of[w.Base] {
		switch {
		case !claim.At.After(w.At):
			owner = claim.Holder
		case claim.Holder == w.Writer && claim.At.Before(w.At.Add(inFlight)):
			return
		}
	}
	if owner != w.Writer && !c.held(w) {
		c.bad("I1: %s was written at %s by %s: %s owned %s", w.What, stamp(w.At), w.Writer, owner, w.Base)
	}
}

// held says that a write was sent while its writer was silenced, or before, and was held
// back on the network until that was over. Nothing that a replica can do calls such a
// write back, and the next owner corrects what it changed.
func (c *check) held(w Write) bool {
	return slices.ContainsFunc(c.Faults, func(f Fault) bool {
		return slices.Contains(f.Silenced, w.Writer) && !w.At.Before(f.Ended) && w.At.Before(f.Ended.Add(inFlight))
	})
}
