package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

// followEvery is how often files are looked at. The kubelet takes a minute to change those
// of a ConfigMap or Secret.
const followEvery = 10 * time.Second

// follower has a running program follow its configuration's file, and tells of the files
// that settings name. What is wrong changes nothing.
type follower struct {
	log  *zap.Logger
	live *live
	read func() (*config, error)
	// started is what the program runs with, and current what it follows: they differ in
	// settings whose changes have an effect at once.
	started, current *config
	// seen has by setting what its file was when it was last looked at. ownPrefix+"CONFIG"
	// is one of them.
	seen map[string]string
	// refused has the faults of the configuration as it was last read, a fault a line; empty
	// for none. It is tried again: a file that it names may come later.
	refused string
	// unusable: a file that a setting names has changed and could not be used. It is looked at
	// again: it may be mended by a change of another one.
	unusable bool
}

// newFollower begins with a configuration that has a live, and with its files as they are.
func newFollower(cfg *config, read func() (*config, error), log *zap.Logger) *follower {
	f := &follower{log: log, live: cfg.live, read: read, started: cfg, current: cfg, seen: map[string]string{}}
	for _, s := range f.files() {
		_, _ = f.look(s) // what is wrong with a file was told at the start
	}
	return f
}

// files are the settings that name files which are read again: those that are used, by the
// names that they have there.
func (f *follower) files() (all []setting) {
	now := settings(f.current)
	for i, s := range settings(f.started) {
		switch s.changes {
		case content:
			all = append(all, s)
		case fileAtConnect:
			all = append(all, now[i])
		default: // names none
		}
	}
	return all
}

// run looks every followEvery until ctx ends.
func (f *follower) run(ctx context.Context) error {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f.follow()
		}
	}
}

// follow looks at all files once.
func (f *follower) follow() {
	again, unusable := f.refused != "", f.unusable
	for _, s := range f.files() {
		changed, err := f.look(s)
		switch {
		case !changed:
		case s.env == ownPrefix+"CONFIG":
			again = true
		default:
			f.tellFile(s, err)
		}
	}
	if again {
		f.again()
	}
	if unusable {
		_, err := f.read()
		f.unusable = err != nil
	}
	f.live.refuse(f.refused != "" || f.unusable)
}

// tellFile logs that the file which a setting names has changed, and whether it can be used:
// who uses it reads it itself. Err is what reading it gave.
func (f *follower) tellFile(s setting, err error) {
	if err == nil && f.refused == "" { // else the faults would be others
		_, err = f.read()
	}
	setting, file := zap.String("setting", f.started.nameOf(s)), zap.String("file", s.value.String())
	if err != nil {
		f.unusable = true
		f.log.Error("a file that a setting names has changed and cannot be used", setting, file, zap.Strings("faults", faultsOf(err)))
		return
	}
	f.log.Info("a file that a setting names has changed, it is used from the next connection on", setting, file)
}

// look reads the file that a setting names, if it names one, and says whether it is another
// than before.
func (f *follower) look(s setting) (changed bool, err error) {
	name := s.value.String()
	if name == "" {
		return false, nil
	}
	now := "unreadable"
	text, err := os.ReadFile(name)
	if err == nil {
		now = fmt.Sprintf("%x", sha256.Sum256(text))
	}
	changed = f.seen[s.env] != now
	f.seen[s.env] = now
	return changed, err
}

// again reads the configuration again.
func (f *follower) again() {
	cfg, err := f.read()
	if err != nil {
		if text := err.Error(); text != f.refused {
			f.refused = text
			f.log.Error("the changed configuration is refused, the old one holds", zap.Strings("faults", faultsOf(err)))
		}
		return
	}
	f.refused = ""
	f.tell(f.current, cfg)
	f.current = cfg
	f.live.set(cfg)
	for _, s := range f.files() {
		if s.changes == fileAtConnect {
			_, _ = f.look(s) // it may be another: that was told
		}
	}
	restart := []string{}
	for _, c := range changes(f.started, cfg) {
		if !c.follows() {
			restart = append(restart, cfg.nameOf(c.setting))
		}
	}
	switch others := f.live.wait(restart); {
	case !others:
	case len(restart) > 0:
		f.log.Warn("changed settings need a restart", zap.Strings("settings", restart))
	default:
		f.log.Info("no changed setting needs a restart any more")
	}
}

// tell logs which settings change without a restart, and to what, but for secrets.
func (f *follower) tell(from, to *config) {
	for _, c := range changes(from, to) {
		fields := []zap.Field{zap.String("setting", to.nameOf(c.setting))}
		if !c.secret {
			fields = append(fields, zap.String("from", c.from), zap.String("to", c.value.String()))
		}
		switch c.changes {
		case atOnce:
			f.log.Info("setting changed", fields...)
		case atConnect, fileAtConnect:
			f.log.Info("setting changed, it is used from the next connection on", fields...)
		case atRestart, content: // told together
		}
	}
}

// change is a setting with a value that was another before.
type change struct {
	setting
	from string
}

// changes gives the settings that differ, in order.
func changes(from, to *config) (all []change) {
	was := settings(from)
	for i, s := range settings(to) {
		if before := was[i].value.String(); before != s.value.String() {
			all = append(all, change{s, before})
		}
	}
	return all
}
