package shard

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Member is a replica as its membership Lease tells of it.
type Member struct {
	// Name is the Lease's name, which is the pod's and what bases are assigned to.
	Name string
	// Holder is the incarnation that lives, empty for none.
	Holder string
	// Revision is the Lease's resource version; it only grows.
	Revision uint64
	// RenewDeadline is how long one membership write lets it act, as it says itself;
	// zero where it does not.
	RenewDeadline time.Duration
	// FailureTimeout is how long a Lease must stay unchanged before the member expires who
	// holds it, as its own Lease's duration says; zero where that says nothing.
	FailureTimeout time.Duration
	// Address is where the member takes what peers forward, host:port.
	Address string
	// PeerKey is the fingerprint of the key that the member proves itself with there.
	PeerKey string
	// Last is, of an empty Holder, the incarnation that held it last. Released says
	// that it left by itself.
	Last     string
	Released bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never subtracted
	// from our own.
	Renewed time.Time
	// Will is the hash of what the broker publishes when it loses the member's
	// connection; empty where it has none.
	Will string
	// Serves are the environments whose bases it can own; nil means all, for a version
	// that does not say.
	Serves []string
	// Draining says that it hands its bases over, Linked that its tunnels are up.
	Draining, Linked bool
	// Blind says that it does not see what it is given.
	Blind bool
	Requests
}

// member is a Member and what this replica makes of it.
type member struct {
	Member
	seen      time.Time // it is as it is since then, by our own clock
	renewed   bool      // it was seen otherwise before, so it lives or lived by our own clock
	suspected time.Time // somebody reported that it is gone; zero for nobody
	fence     bool      // it lost the broker, and nobody fenced it since
}

// PodOf gives the member's name in an incarnation, "<pod>_<8 hex digits>". It is asked for
// each base of others, so it is quick.
func PodOf(incarnation string) (pod string, ok bool) {
	end := len(incarnation) - 1 - sessionDigits
	if end < 1 || end > longestName || incarnation[end] != '_' {
		return "", false
	}
	pod, session := incarnation[:end], incarnation[end+1:]
	if !isName(pod) || strings.Trim(session, "0123456789abcdef") != "" {
		return "", false
	}
	return pod, true
}

// sessionDigits is how many digits tell the sessions of a pod apart, longestName how long the
// name of a Lease may be.
const sessionDigits, longestName = 8, 253

// isName says whether a pod, and so its membership Lease, may have a name.
func isName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return true
}

// members are all members that are known, by name.
type members map[string]*member

// of gives the member whose session an incarnation is, nil where its Lease names
// another one or is not known.
func (all members) of(incarnation string) *member {
	pod, _ := PodOf(incarnation)
	if m := all[pod]; m != nil && m.Holder == incarnation {
		return m
	}
	return nil
}

// withKey says whether a live member proves itself with a key.
func (all members) withKey(fingerprint string) bool {
	for _, m := range all {
		if m.Holder != "" && m.PeerKey == fingerprint {
			return fingerprint != ""
		}
	}
	return false
}

// at says whether a live member takes heartbeats at an address.
func (all members) at(addr netip.Addr) bool {
	for _, m := range all {
		if m.Holder == "" {
			continue
		}
		if is, err := netip.ParseAddrPort(m.Address); err == nil && is.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}

// serves says whether a member can own the bases of an environment.
func (m *Member) serves(env string) bool { return m.Serves == nil || slices.Contains(m.Serves, env) }

// anyEnv stands for every environment that no member names.
const anyEnv = ""

// able gives who may be given bases, by environment.
func (all members) able() map[string][]string {
	able := map[string][]string{anyEnv: all.ableFor(anyEnv)}
	for _, m := range all {
		for _, env := range m.Serves {
			if _, known := able[env]; !known {
				able[env] = all.ableFor(env)
			}
		}
	}
	return able
}

// ableFor gives who may be given bases of an environment, in order: those that stand best.
func (all members) ableFor(env string) (able []string) {
	best, obeyed := unlinked, all.obey()
	for name, m := range all {
		is := m.standing(obeyed)
		switch {
		case m.Holder == "", m.Draining, !m.serves(env), is < best:
			continue
		case is > best:
			best, able = is, nil
		}
		able = append(able, name)
	}
	slices.Sort(able)
	return able
}

// leaving gives who hands its bases over and has not left, in order.
func (all members) leaving() (names []string) {
	for name, m := range all {
		if m.Holder != "" && m.Draining {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// othersServe says whether any live member but one can own the bases of an environment.
func (all members) othersServe(name, env string) bool {
	return slices.ContainsFunc(all.ableFor(env), func(other string) bool { return other != name })
}

// pending says whether members other than self have not shown yet that they live.
func (all members) pending(self string) bool {
	for _, m := range all {
		switch {
		case m.Holder == "", m.Holder == self, m.renewed:
		default:
			return true
		}
	}
	return false
}

// slowest is how long the one takes that takes longest to know that another has failed; at
// least as long as we do.
func (all members) slowest(ours time.Duration) time.Duration {
	for _, m := range all {
		if m.Holder != "" {
			ours = max(ours, m.FailureTimeout)
		}
	}
	return ours
}

// live is how many members live.
func (all members) live() (n int) {
	for _, m := range all {
		if m.Holder != "" {
			n++
		}
	}
	return n
}
