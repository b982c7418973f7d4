package tunneltest

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
)

// Home is where a base runs, and what it has there to prove who it is.
type Home struct {
	// IP is the address. Empty: 127.0.0.1, where all are.
	IP string
	// Token is a bearer token; empty for none.
	Token string
}

// Arklet is the stack of the Java runtime. home makes the home of the base that has an
// identity, once or again; over MQTT it has the broker know the user of that name. play has bases
// speak to the tunnels until ctx ends, and strangers beside them, who have no home.
func Arklet(home func(identity string) (Home, error), play func(ctx context.Context, bases, strangers []*basetest.Base) error) Stack {
	jars := &basetest.Jars{}
	sound := func(o basetest.Options) (Base, error) {
		o.Jars = jars
		o = o.Complete()
		h, err := home(o.Identity)
		if err != nil {
			return nil, err
		}
		o.IP = cmp.Or(h.IP, o.IP)
		o.Token, o.At, o.Hostname = h.Token, o.IP, o.IP
		return newJVM(o)
	}
	return Stack{
		jars: jars, jvm: sound,
		New: func(o Options) (Base, error) {
			is := basetest.Options{Identity: o.Identity, Name: o.Name, Version: o.Version, Cluster: o.Cluster, Clock: o.Clock, Jars: jars}
			switch {
			case o.Stranger:
				is.IP = strangerIP
				return newJVM(is)
			case o.With != "":
				return impostor(is, o, home)
			}
			return sound(is)
		},
		Put: func(m Module) (string, error) {
			jar := basetest.Jar{URL: jarURL(m.Name, m.Version), Name: m.Name, Version: m.Version, Start: m.Start, FailWith: m.FailWith, Missing: m.Missing}
			if m.Missing {
				jar.Name, jar.Version = "", ""
			}
			jars.Add(jar)
			return jar.URL, nil
		},
		Play: func(ctx context.Context, bases []Base) error {
			var own, strangers []*basetest.Base
			for _, b := range bases {
				if b := b.(jvm); b.stranger {
					strangers = append(strangers, b.Base)
				} else {
					own = append(own, b.Base)
				}
			}
			return play(ctx, own, strangers)
		},
	}
}

// impostor makes a base with the home of another one. It says the truth of its address, or that
// it is at the address of the base whose identity it says.
func impostor(is basetest.Options, o Options, home func(identity string) (Home, error)) (Base, error) {
	is = is.Complete()
	own, err1 := home(o.With)
	theirs, err2 := home(is.Identity)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	is.User, is.Token, is.At = o.With, own.Token, cmp.Or(own.IP, is.IP)
	is.IP = is.At
	if o.Otherwise {
		is.IP = cmp.Or(theirs.IP, is.IP)
	}
	is.Hostname = is.IP
	return newJVM(is)
}

func jarURL(name, version string) string {
	return "file:///opt/" + name + "-" + version + "-ark-biz.jar"
}

// strangerIP is the address of strangers, where no base is.
const strangerIP = "127.0.0.66"

// jvm is a fake JVM in the suite's words.
type jvm struct {
	*basetest.Base
	stranger bool
}

func newJVM(o basetest.Options) (Base, error) {
	o.Heartbeat = heartbeats
	b, err := basetest.New(o)
	return jvm{b, o.IP == strangerIP}, err
}

func (j jvm) ID() tunnel.BaseID { return tunnel.BaseID{Env: j.Env(), Identity: j.Identity()} }

func (j jvm) Seen() Seen {
	is := j.Look()
	seen := Seen{IP: j.IP(), Port: is.Port, Announced: j.Announced(), Installs: map[tunnel.ModuleKey]int{}, Uninstalls: map[tunnel.ModuleKey]int{}, Questions: j.Totals().Questions}
	for text, n := range is.Installs {
		seen.Installs[keyOf(text)] = n
	}
	for text, n := range is.Uninstalls {
		seen.Uninstalls[keyOf(text)] = n
	}
	for _, c := range is.Commands {
		if c.Command == "base/baseline" {
			seen.Baselines++
			continue
		}
		seen.Commands = append(seen.Commands, Got{c.Command, keyOf(c.Module), c.Args, c.Env})
	}
	return seen
}

func keyOf(text string) tunnel.ModuleKey {
	name, version, _ := strings.Cut(text, ":")
	return tunnel.ModuleKey{Name: name, Version: version}
}

func (j jvm) Install(ctx context.Context, m tunnel.ModuleKey, url string) {
	j.Base.Install(ctx, basetest.Command{Name: m.Name, Version: m.Version, URL: url})
}

func (j jvm) Suffer(f Fault) {
	j.Set(func(is *basetest.Faults) { is.NoHeartbeat, is.Mute, is.Slow = f.NoHeartbeat, f.Mute, f.Slow })
}

// Babble says it on each topic, and to each path.
func (j jvm) Babble(text []byte) {
	for _, where := range []string{"base/heart", "base/queryBaseline", "base/simpleBiz", "base/health", "base/bizOperation", "base/nonsense", "heartbeat", "queryBaseline"} {
		j.Say(where, text)
	}
}

// heartbeats is how often bases of the suite announce themselves.
const heartbeats = 100 * time.Millisecond
