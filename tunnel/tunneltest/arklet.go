package tunneltest

import (
	"context"
	"strings"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
)

// Arklet is the stack of the Java runtime. play has its bases speak to the tunnels until ctx
// ends, and strangers beside them, whose address is not that of the bases.
func Arklet(play func(ctx context.Context, bases, strangers []*basetest.Base) error) Stack {
	jars := &basetest.Jars{}
	return Stack{
		jars: jars,
		New: func(o Options) (Base, error) {
			is := basetest.Options{Identity: o.Identity, Name: o.Name, Version: o.Version, Cluster: o.Cluster, Clock: o.Clock, Jars: jars}
			if o.Stranger {
				is.IP = strangerIP
			}
			return newJVM(is)
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
	seen := Seen{Port: is.Port, Installs: map[tunnel.ModuleKey]int{}, Uninstalls: map[tunnel.ModuleKey]int{}, Questions: j.Totals().Questions}
	for text, n := range is.Installs {
		seen.Installs[keyOf(text)] = n
	}
	for text, n := range is.Uninstalls {
		seen.Uninstalls[keyOf(text)] = n
	}
	for _, c := range is.Commands {
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
