package plan

import (
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// Purpose is what a command is for. That one failed says nothing of another.
type Purpose struct {
	Verb tunnel.Verb
	URL  string // of an install
}

func purposeOf(c tunnel.Command) Purpose {
	if c.Verb == tunnel.InstallModule {
		return Purpose{c.Verb, c.URL}
	}
	return Purpose{Verb: c.Verb}
}

// Jar is what pods ask for: two may ask for one module from different URLs.
type Jar struct {
	tunnel.ModuleKey
	URL string
}

// Failure is what is remembered of a module's command that failed. One that fails for
// another purpose takes its place, and counts from one. Of jars each has its own.
type Failure struct {
	Purpose
	// Count is how many of these commands failed in a row.
	Count int
	// At is when the last one failed, NotBefore when the next may be tried.
	At, NotBefore time.Time
	// Message is one line with the root cause first, at most tunnel.MaxText bytes.
	Message string
	// Killed: the module did not fail to be installed; it was installed anew because it was
	// dead. That may be done again from NotBefore on.
	Killed bool
	// Unanswered: the base itself did not refuse it.
	Unanswered bool
	// Hurried: NotBefore was brought forward since, because another module began to serve.
	Hurried bool
	// Beside: it failed beside another version, each time. Else it failed in the place of
	// what was there, which is not disproved where it starts beside another; Proved says
	// that it did since.
	Beside, Proved bool
	// Mismatch is what the jar proved to be; zero unless it is another module or version.
	Mismatch tunnel.ModuleKey
}

// wrong says that the jar proved to be another module or version.
func (f Failure) wrong() bool { return f.Mismatch != tunnel.ModuleKey{} }

// hurriedMost is after how many failures in a row a back-off is cut short no more: what
// begins may do so because of that back-off, and end with it.
const hurriedMost = 8

// hurried says whether a module's next install is worth trying before its time, where
// modules of these names began to serve.
func (f Failure) hurried(began map[string]bool, key tunnel.ModuleKey) bool {
	switch {
	case f.Verb != tunnel.InstallModule, f.wrong(), f.Killed, f.Hurried, f.Proved, f.Count > hurriedMost:
		return false
	case began[key.Name]:
		return len(began) > 1
	}
	return len(began) > 0
}

// sooner brings a failure's next install forward where that is worth trying.
func (f Failure) sooner(began map[string]bool, key tunnel.ModuleKey, soon time.Time) Failure {
	if f.hurried(began, key) {
		f.NotBefore, f.Hurried = earlier(f.NotBefore, soon), true
	}
	return f
}

// failures is what failed last, by module. It shares its entries with a Memory.
type failures map[tunnel.ModuleKey]Failure

// of is the last failure of a command for a module that had this purpose; the zero
// Failure where there is none, or where another kind of command failed since.
func (fs failures) of(key tunnel.ModuleKey, what Purpose) Failure {
	if f := fs[key]; f.Purpose == what {
		return f
	}
	return Failure{}
}

// again is the failure of an attempt, counted on from those before it. It is not kept
// yet. A version that cannot serve fails to be switched to and to be installed in turns,
// which counts as one.
func (fs failures) again(a Attempt, now time.Time) Failure {
	f, was := fs.of(a.Module, purposeOf(a.Command)), fs[a.Module]
	if f.Count == 0 && was.Proved && a.Verb != tunnel.UninstallModule {
		f = Failure{Count: was.Count, Proved: true}
	}
	f.Beside = (f.Count == 0 || f.Beside) && a.beside()
	f.Purpose = purposeOf(a.Command)
	f.Count++
	f.At, f.Hurried, f.Killed = now, false, false
	f.Unanswered = a.Answer == nil || a.busy()
	return f
}

// beside says of an install that it is to prove a module beside another version.
func (a Attempt) beside() bool {
	return a.Verb == tunnel.InstallModule && !a.Replace && slices.ContainsFunc(a.Before, func(key tunnel.ModuleKey) bool {
		return key.Name == a.Module.Name && key != a.Module
	})
}

// succeeded drops what a command that succeeded makes untrue: that it failed before, and
// whatever failed of a version that is installed anew.
func (fs failures) succeeded(c tunnel.Command) {
	f := fs[c.Module]
	switch {
	case f.Killed: // until it has served for long
	case f.outlasts(c): // until it serves
		f.Proved = true
		fs[c.Module] = f
	case c.Verb == tunnel.InstallModule, f.Purpose == purposeOf(c):
		delete(fs, c.Module)
	}
}

// outlasts says of a failure to serve that an install beside another version disproves
// nothing of it.
func (f Failure) outlasts(c tunnel.Command) bool {
	switch {
	case c.Verb != tunnel.InstallModule, c.Replace, f.Beside:
		return false
	case f.Verb == tunnel.SwitchModule:
		return f.Proved
	}
	return f.Purpose == purposeOf(c)
}

// drop drops a failure of that purpose.
func (fs failures) drop(key tunnel.ModuleKey, what Purpose) {
	if fs[key].Purpose == what {
		delete(fs, key)
	}
}

// serves drops a failure that is over because the version serves. That it could not be
// uninstalled is not over.
func (fs failures) serves(key tunnel.ModuleKey) {
	if fs[key].Verb != tunnel.UninstallModule {
		delete(fs, key)
	}
}

// failureOf is the last failure to install a want's module from its URL; the zero Failure
// where there is none.
func (p *planner) failureOf(w *want) Failure {
	if f := p.failures.of(w.key, w.purpose()); f.Count > 0 {
		return f
	}
	return p.out.Memory.Jars[Jar{w.key, w.url}]
}

// turnTo makes the failure of a jar the last one of its module, and sets that of another jar
// aside: what comes of one says nothing of the other.
func (p *planner) turnTo(key tunnel.ModuleKey, what Purpose) {
	jars, last := p.out.Memory.Jars, p.failures[key]
	if what.Verb != tunnel.InstallModule || last.Purpose == what {
		return
	}
	if last.Verb == tunnel.InstallModule {
		jars[Jar{key, last.URL}] = last
		delete(p.failures, key)
	}
	if f, failed := jars[Jar{key, what.URL}]; failed {
		p.failures[key] = f
		delete(jars, Jar{key, what.URL})
	}
}

// forgetJars forgets what failed of jars that no pod asks for any more.
func (p *planner) forgetJars() {
	maps.DeleteFunc(p.out.Memory.Jars, func(jar Jar, _ Failure) bool {
		return !slices.ContainsFunc(p.in.Pods, func(pod Pod) bool {
			return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Image == jar.URL })
		})
	})
}

// backOff is the pause after so many failures in a row.
func (c Config) backOff(count int) time.Duration {
	const enough = 16 // doublings that are beyond any maximum
	return min(c.BackOffBase<<min(count-1, enough), c.BackOffMax)
}
