package history

// claims checks that each epoch of a base has one holder, and that they only grow.
func (c *check) claims() {
	last := map[string]Claim{}
	for _, claim := range c.Claims {
		if c.holders[claim.Base] == nil {
			c.holders[claim.Base] = map[int]string{}
		}
		was := c.holders[claim.Base][claim.Epoch]
		if was != "" && was != claim.Holder {
			c.bad("I1: epoch %d of %s has two holders, %s and %s", claim.Epoch, claim.Base, was, claim.Holder)
		}
		if before := last[claim.Base]; claim.Epoch < before.Epoch {
			c.bad("I2: the epoch of %s fell from %d to %d", claim.Base, before.Epoch, claim.Epoch)
		}
		c.holders[claim.Base][claim.Epoch] = claim.Holder
		c.of[claim.Base] = append(c.of[claim.Base], claim)
		last[claim.Base] = claim
	}
}

// takenOver checks that the bases of a killed replica were owned again in time, where
// nothing else happened meanwhile.
func (c *check) takenOver(i int) {
	f := c.Faults[i]
	if f.Killed == "" || !c.alone(i) {
		return
	}
	c.report.Kills++
	held := map[string]bool{} // by base: the killed replica does
	for _, claim := range c.Claims {
		switch {
		case !claim.At.After(f.Begun):
			held[claim.Base] = claim.Holder == f.Killed
		case held[claim.Base]:
			delete(held, claim.Base)
			c.claimedAfter(f, claim)
		}
	}
	if !c.Ended.After(f.Begun.Add(Takeover)) {
		return // it was not observed for long enough
	}
	for _, base := range sortedKeys(held) {
		if held[base] {
			c.bad("I6: %s of %s was never owned again", base, f.Killed)
		}
	}
}

// alone says that no other fault was near one: the slower of two says nothing of one.
func (c *check) alone(i int) bool {
	f := c.Faults[i]
	until := f.Begun.Add(Takeover)
	for j, o := range c.Faults {
		if j != i && o.Begun.Before(until) && o.Ended.Add(Takeover).After(f.Begun) {
			return false
		}
	}
	return true
}

// claimedAfter checks how long after a kill a base was claimed.
func (c *check) claimedAfter(f Fault, claim Claim) {
	took := claim.At.Sub(f.Begun)
	c.report.Takeover = max(c.report.Takeover, took)
	if took > Takeover {
		c.bad("I6: %s of %s was owned again %s after the kill", claim.Base, f.Killed, took)
	}
}
