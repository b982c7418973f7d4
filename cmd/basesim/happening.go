package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"module-controller/tunnel/basetest"
)

// happening is what can happen to a base. Numbers n (default 1), durations d and
// texts come in the query.
type happening func(r *http.Request, b *basetest.Base, body []byte) error

var happenings = map[string]happening{
	// Its process.
	"restart": always((*basetest.Base).Restart),
	"stop":    always((*basetest.Base).Stop),
	"start":   always((*basetest.Base).Restart),
	// All faults but those of its process end.
	"resume": always((*basetest.Base).Resume),
	// Faults that last: see basetest.Faults.
	"silence":        always(set(func(f *basetest.Faults) { f.Silent = true })),
	"mute":           always(set(func(f *basetest.Faults) { f.Mute = true })),
	"stop-heartbeat": always(set(func(f *basetest.Faults) { f.NoHeartbeat = true })),
	"slow":           lasting(func(f *basetest.Faults, d time.Duration) { f.Slow = d }),
	"late":           lasting(func(f *basetest.Faults, d time.Duration) { f.Late = d }),
	// How modules that listen answer requests. The query names the module that is not
	// well, or none for all.
	"unhealthy":     unhealthy,
	"hang-requests": always(set(func(f *basetest.Faults) { f.HangRequests = true })),
	// Installs are slow before their module is listed; lists tell what was true d ago.
	"slow-downloads": lasting(func(f *basetest.Faults, d time.Duration) { f.Download = d }),
	"late-lists":     lasting(func(f *basetest.Faults, d time.Duration) { f.LateLists = d }),
	// Modules take their time to stop, or to serve instead of another version.
	"slow-uninstalls": lasting(func(f *basetest.Faults, d time.Duration) { f.SlowUninstalls = d }),
	"slow-switches":   lasting(func(f *basetest.Faults, d time.Duration) { f.SlowSwitches = d }),
	// Faults of the next n commands or reports; n may be "all".
	"lose-answers":      counted(func(f *basetest.Faults, n int) { f.LoseAnswers = n }),
	"without-effect":    counted(func(f *basetest.Faults, n int) { f.WithoutEffect = n }),
	"error-with-effect": counted(func(f *basetest.Faults, n int) { f.ErrorWithEffect = n }),
	"duplicate":         counted(func(f *basetest.Faults, n int) { f.Duplicate = n }),
	"reorder":           counted(func(f *basetest.Faults, n int) { f.Reorder = n }),
	"keep-uninstalled":  counted(func(f *basetest.Faults, n int) { f.KeepUninstalled = n }),
	"hang-starts":       counted(func(f *basetest.Faults, n int) { f.HangStarts = n }),
	// Starts that hang end, those of jars too.
	"end-starts": always((*basetest.Base).EndStarts),
	// The body defines the failure: exceptions, a line each, the outermost first.
	"fail-installs":   failing(func(f *basetest.Faults, n int, with string) { f.FailInstalls, f.FailWith = n, with }),
	"fail-uninstalls": failing(func(f *basetest.Faults, n int, with string) { f.FailUninstalls, f.FailUninstallsWith = n, with }),
	// Its description of itself (name, version, cluster) and the error of its clock (d).
	"metadata": func(r *http.Request, b *basetest.Base, _ []byte) error {
		q := r.URL.Query()
		b.SetMetadata(q.Get("name"), q.Get("version"), q.Get("cluster"))
		return nil
	},
	"clock": clock,
	// The body is sent as it is, to where.
	"say": func(r *http.Request, b *basetest.Base, body []byte) error {
		b.Say(r.URL.Query().Get("where"), body)
		return nil
	},
	// Commands past the controller; the body is one as bases take it.
	"install":   command((*basetest.Base).Install),
	"uninstall": command((*basetest.Base).Uninstall),
	"switch":    command((*basetest.Base).Switch),
}

func always(do func(*basetest.Base)) happening {
	return func(_ *http.Request, b *basetest.Base, _ []byte) error {
		do(b)
		return nil
	}
}

func set(change func(*basetest.Faults)) func(*basetest.Base) {
	return func(b *basetest.Base) { b.Set(change) }
}

func lasting(change func(*basetest.Faults, time.Duration)) happening {
	return func(r *http.Request, b *basetest.Base, _ []byte) error {
		d, err := duration(r)
		if err == nil {
			b.Set(func(f *basetest.Faults) { change(f, d) })
		}
		return err
	}
}

func counted(change func(*basetest.Faults, int)) happening {
	return func(r *http.Request, b *basetest.Base, _ []byte) error {
		n, err := number(r)
		if err == nil {
			b.Set(func(f *basetest.Faults) { change(f, n) })
		}
		return err
	}
}

func failing(change func(f *basetest.Faults, n int, with string)) happening {
	return func(r *http.Request, b *basetest.Base, body []byte) error {
		n, err := number(r)
		if err != nil {
			return err
		}
		with := string(body)
		if with == "null" { // a client that always sends JSON
			with = ""
		}
		b.Set(func(f *basetest.Faults) { change(f, n, with) })
		return nil
	}
}

func unhealthy(r *http.Request, b *basetest.Base, _ []byte) error {
	module := cmp.Or(r.URL.Query().Get("module"), "*")
	b.Set(func(f *basetest.Faults) { f.Unhealthy = append(slices.Clone(f.Unhealthy), module) })
	return nil
}

func clock(r *http.Request, b *basetest.Base, _ []byte) error {
	d, err := duration(r)
	if err == nil {
		b.SetClock(d)
	}
	return err
}

func command(do func(*basetest.Base, context.Context, basetest.Command)) happening {
	return func(r *http.Request, b *basetest.Base, body []byte) error {
		var c basetest.Command
		if err := json.Unmarshal(body, &c); err != nil {
			return fmt.Errorf("read command: %w", err)
		}
		do(b, r.Context(), c)
		return nil
	}
}

func number(r *http.Request) (int, error) {
	text := r.URL.Query().Get("n")
	switch text {
	case "":
		return 1, nil
	case "all":
		return math.MaxInt, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("n is %q, want \"all\" or a number that is not negative", text)
	}
	return n, nil
}

func duration(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("d")
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("d is %q, want a duration such as 5s", text)
	}
	return d, nil
}
