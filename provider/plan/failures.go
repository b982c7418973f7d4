package plan

import (
	"time"

	"module-controller/tunnel"
)

// failures is what failed last, by module. It shares its entries with a Memory.
type failures map[tunnel.ModuleKey]Failure

// of is the last failure of a command for a module that had this purpose; the zero
// Failure where there is none, or where another kind of command failed since.
func (fs failures) of(key tunnel.ModuleKey, purpose string) Failure {
	if f := fs[key]; f.URL == purpose {
		return f
	}
	return Failure{}
}

// again is the failure of an attempt, counted on from those before it. It is not kept
// yet.
func (fs failures) again(a Attempt, now time.Time) Failure {
	f := fs.of(a.Module, purpose(a.Command))
	f.URL = purpose(a.Command)
	f.Count++
	f.At = now
	return f
}

// succeeded drops what a command that succeeded makes untrue. That a base replaces
// nothing stays true.
func (fs failures) succeeded(c tunnel.Command) {
	f := fs[c.Module]
	over := f.URL == purpose(c)
	if c.Verb == tunnel.InstallModule {
		over = !f.Plain
	}
	if over {
		delete(fs, c.Module)
	}
}

// serves drops a failure that is over because the version serves. That it could not be
// uninstalled is not over.
func (fs failures) serves(key tunnel.ModuleKey) {
	if fs[key].URL != string(tunnel.UninstallModule) {
		delete(fs, key)
	}
}

// purpose keeps failures of different kinds of commands for one module apart: it is the
// URL of an install, and the verb of what has none.
func purpose(c tunnel.Command) string {
	if c.Verb == tunnel.InstallModule {
		return c.URL
	}
	return string(c.Verb)
}

// backOff is the pause after so many failures in a row.
func (c Config) backOff(count int) time.Duration {
	const enough = 16 // doublings that are beyond any maximum
	return min(c.BackOffBase<<min(count-1, enough), c.BackOffMax)
}
