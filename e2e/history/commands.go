package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// order checks that commands come in the order of their epochs, each of an epoch
// that somebody had, and none once a later epoch was seen.
func (c *check) order(base string) {
	highest := 0
	for _, command := range c.Effects[base].Commands {
		if command.At.Before(c.Began) {
			continue // who was the owner then was not seen
		}
		c.report.Commands++
		epoch, _, err := request(command.Request)
		if err != nil {
			c.bad("I5: %s got %s %s with the request %q: %v", base, command.Verb, command.Module, command.Request, err)
			continue
		}
		if epoch < highest {
			c.bad("I2: %s got %s %s of epoch %d at %s after one of epoch %d", base, command.Verb, command.Module, epoch, stamp(command.At), highest)
		}
		highest = max(highest, epoch)
		if c.holders[base][epoch] == "" {
			c.bad("I1: %s got %s %s of epoch %d, which nobody had", base, command.Verb, command.Module, epoch)
		}
		c.silent(base, command, c.holders[base][epoch])
		for _, claim := range c.of[base] {
			if claim.Epoch > epoch && command.At.After(claim.At) {
				c.bad("I1: %s got %s %s of epoch %d at %s, after %s had it with epoch %d at %s",
					base, command.Verb, command.Module, epoch, stamp(command.At), claim.Holder, claim.Epoch, stamp(claim.At))
				break
			}
		}
	}
}

// silent checks that whoever cannot renew its membership sends nothing once its renew
// deadline has passed.
func (c *check) silent(base string, command Command, sender string) {
	for _, f := range c.Faults {
		over := f.Begun.Add(renewDeadline + inFlight)
		if slices.Contains(f.Silenced, sender) && command.At.After(over) && command.At.Before(f.Ended) {
			c.bad("I1: %s got %s %s at %s from %s, which could not renew since %s (%s)",
				base, command.Verb, command.Module, stamp(command.At), sender, stamp(f.Begun), f.Name)
		}
	}
}

// request reads a request id: the epoch and the UID of the pod.
func request(id string) (epoch int, pod string, err error) {
	first, rest, ok := strings.Cut(id, "-")
	if i := strings.LastIndexByte(rest, '-'); ok && i > 0 {
		pod = rest[:i]
	} else {
		return 0, "", fmt.Errorf("it is no <epoch>-<pod>-<n>")
	}
	epoch, err = strconv.Atoi(first)
	return epoch, pod, err
}
