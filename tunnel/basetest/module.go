package basetest

import (
	"fmt"
	"slices"
	"time"
)

// The states of modules, as they are truly called.
const (
	resolved    = "resolved" // starting
	activated   = "activated"
	deactivated = "deactivated"
	broken      = "broken"
)

// Module is one module on a base, as it truly is.
type Module struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"` // lower case
	// Args and Env are what its install gave it.
	Args []string          `json:"args,omitempty"`
	Env  map[string]string `json:"env,omitempty"`

	jar     Jar
	dir     string // where the jar was unpacked
	records []change
}

// change is one change of a module's state.
type change struct {
	at                     time.Time
	state, reason, message string
}

func (m *Module) set(at time.Time, state, reason, message string) {
	m.State = state
	m.records = append(m.records, change{at, state, reason, message})
}

func (m *Module) key() string { return m.Name + ":" + m.Version }

func (m *Module) copy() Module {
	c := *m
	c.records = slices.Clone(m.records)
	return c
}

// masterName is how the base itself stands among the modules.
const masterName = "base"

// register puts a module in the list as starting, or says why not. The caller holds
// mu.
func (b *Base) register(c Command, jar Jar) (*Module, *result) {
	if b.find(jar.Name, jar.Version) != nil {
		return nil, &result{message: "install biz not success!", op: &operation{
			code: "REPEAT_BIZ", space: true, text: fmt.Sprintf("Biz: %s:%s has been installed or registered.", jar.Name, jar.Version),
		}}
	}
	m := &Module{Name: jar.Name, Version: jar.Version, Args: c.Args, Env: c.Env, jar: jar,
		dir: fmt.Sprintf("/tmp/ark/%s-%s-%s-unpack", c.Name, c.Version, b.now().UTC().Format("20060102150405")+"000")}
	m.set(b.now(), resolved, "Created", "")
	b.process.modules = append(b.process.modules, m)
	return m, nil
}

// removeAll removes every version of a module, as uninstallThenInstall does before
// it looks at the jar. The caller holds mu.
func (b *Base) removeAll(name string) *exception {
	for _, m := range slices.Clone(b.process.modules) {
		if m.Name != name {
			continue
		}
		if m.State == resolved {
			return notStoppable()
		}
		b.remove(m)
		b.log.replaced[m.key()]++
		b.note()
	}
	return nil
}

func notStoppable() *exception {
	return &exception{class: "java.lang.IllegalArgumentException", message: "BizState must be ACTIVATED, DEACTIVATED or BROKEN."}
}

// settle ends the start of a module that can serve: whether it does depends on what
// serves already. The caller holds mu.
func (b *Base) settle(m *Module) {
	now := b.now()
	var serving *Module
	for _, other := range b.process.modules {
		if other != m && other.Name == m.Name && other.State == activated {
			serving = other
		}
	}
	switch {
	case serving == nil || b.options.Several:
		m.set(now, activated, "Started", "")
	case b.options.ActivateNew:
		serving.set(now, deactivated, "Switched", "switch to new biz "+m.key())
		m.set(now, activated, "Started", "switch from old biz: "+serving.key())
	default:
		m.set(now, deactivated, "Started", "start but is deactivated")
	}
	b.log.installs[m.key()]++
	b.note()
}

// collapse ends the start of a module that cannot serve. The caller holds mu.
func (b *Base) collapse(m *Module, why *exception) {
	b.log.failures[m.key()]++
	if b.options.KeepFailed {
		m.set(b.now(), broken, "Failed", why.String())
		return
	}
	b.remove(m)
}

// failure gives what a module's start throws; nil where it starts. The caller holds
// mu.
func (b *Base) failure(m *Module, told string) *exception {
	switch {
	case told != "":
		return parse(told)
	case m.jar.FailWith != "":
		return parse(m.jar.FailWith)
	}
	for _, other := range b.process.modules {
		if other != m && m.jar.Port != 0 && other.jar.Port == m.jar.Port {
			return portInUse(m.jar.Port)
		}
	}
	if limit := b.options.MaxMetaspace; limit > 0 && b.metaspace() > limit {
		return &exception{class: "java.lang.OutOfMemoryError", message: "Metaspace"}
	}
	return nil
}

func portInUse(port int) *exception {
	return parse(fmt.Sprintf(`org.springframework.context.ApplicationContextException: Failed to start bean 'webServerStartStop'
		org.springframework.boot.web.server.PortInUseException: Port %d is already in use
		java.lang.IllegalArgumentException: standardService.connector.startFailed
		org.apache.catalina.LifecycleException: Protocol handler start failed
		java.net.BindException: Address already in use`, port))
}

// idleMetaspace is what a base without modules uses, in bytes.
const idleMetaspace = 54 << 20

// metaspace is what the base uses, in bytes. The caller holds mu.
func (b *Base) metaspace() int64 {
	used := int64(idleMetaspace) + b.process.leaked
	for _, m := range b.process.modules {
		used += m.jar.Metaspace
	}
	return used
}
