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

// modules are what one process hosts. Base.mu guards them; now is the base's clock.
type modules struct {
	options *Options // of the base
	log     *log     // of the base
	ports   *ports   // of the base
	process int

	list   []*Module // in the order in which they came
	leaked int64     // bytes of metaspace that installs cost for good
}

func (ms *modules) find(name, version string) *Module {
	for _, m := range ms.list {
		if m.Name == name && m.Version == version {
			return m
		}
	}
	return nil
}

func (ms *modules) remove(gone *Module) {
	ms.list = slices.DeleteFunc(ms.list, func(m *Module) bool { return m == gone })
}

// register puts a module in the list as starting, or gives the result of a refusal.
func (ms *modules) register(c Command, jar Jar, now time.Time) (*Module, *result) {
	if ms.find(jar.Name, jar.Version) != nil {
		return nil, &result{message: "install biz not success!", op: &operation{
			code: "REPEAT_BIZ", space: true, text: fmt.Sprintf("Biz: %s:%s has been installed or registered.", jar.Name, jar.Version),
		}}
	}
	m := &Module{Name: jar.Name, Version: jar.Version, Args: c.Args, Env: c.Env, jar: jar,
		dir: fmt.Sprintf("/tmp/ark/%s-%s-%s-unpack", c.Name, c.Version, now.UTC().Format("20060102150405")+"000")}
	m.set(now, resolved, "Created", "")
	ms.list = append(ms.list, m)
	return m, nil
}

// removeAll removes every version of a module, as uninstallThenInstall does before
// it looks at the jar.
func (ms *modules) removeAll(name string) *exception {
	for _, m := range slices.Clone(ms.list) {
		if m.Name != name {
			continue
		}
		if m.State == resolved {
			return notStoppable()
		}
		ms.remove(m)
		ms.log.replaced[m.key()]++
		ms.note()
	}
	return nil
}

func notStoppable() *exception {
	return &exception{class: "java.lang.IllegalArgumentException", message: "BizState must be ACTIVATED, DEACTIVATED or BROKEN."}
}

// started ends the start of a module that can serve: whether it does depends on what
// serves already.
func (ms *modules) started(m *Module, now time.Time) {
	var serving *Module
	for _, other := range ms.list {
		if other != m && other.Name == m.Name && other.State == activated {
			serving = other
		}
	}
	switch {
	case serving == nil || ms.options.Several:
		m.set(now, activated, "Started", "")
	case ms.options.ActivateNew:
		serving.set(now, deactivated, "Switched", "switch to new biz "+m.key())
		m.set(now, activated, "Started", "switch from old biz: "+serving.key())
	default:
		m.set(now, deactivated, "Started", "start but is deactivated")
	}
	ms.log.installs[m.key()]++
	ms.note()
}

// failed ends the start of a module that cannot serve.
func (ms *modules) failed(m *Module, why *exception, now time.Time) {
	ms.log.failures[m.key()]++
	if ms.options.KeepFailed {
		m.set(now, broken, "Failed", why.String())
		return
	}
	ms.remove(m)
}

// failure gives what a module's start throws; nil where it starts.
func (ms *modules) failure(m *Module, fault string) *exception {
	switch {
	case fault != "":
		return parse(fault)
	case m.jar.FailWith != "":
		return parse(m.jar.FailWith)
	}
	if slices.ContainsFunc(ms.list, m.excludes) {
		return portInUse(m.jar.Port)
	}
	if limit := ms.options.MaxMetaspace; limit > 0 && ms.metaspace() > limit {
		return &exception{class: "java.lang.OutOfMemoryError", message: "Metaspace"}
	}
	if m.jar.Listens && !ms.ports.listen(m.jar.Port) { // the last that can fail
		return portInUse(m.jar.Port)
	}
	return nil
}

// excludes says whether a module cannot start beside another for its port.
func (m *Module) excludes(other *Module) bool {
	if other == m || m.jar.Port == 0 {
		return false
	}
	share := m.jar.Shared && other.jar.Shared
	return other.jar.Port == m.jar.Port && !share
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

// metaspace is what the base uses, in bytes.
func (ms *modules) metaspace() int64 {
	used := int64(idleMetaspace) + ms.leaked
	for _, m := range ms.list {
		used += m.jar.Metaspace
	}
	return used
}

// activate has a version serve instead of the one that does.
func (ms *modules) activate(m *Module, now time.Time) {
	why := ""
	for _, other := range ms.list {
		if other.Name == m.Name && other.State == activated {
			other.set(now, deactivated, "Switched", "switch to new version "+m.key())
			why = "switch from old version: " + other.key()
		}
	}
	m.set(now, activated, "Switched", why)
	ms.note()
}

// note records in the log what serves now, and closes the ports of what is gone.
func (ms *modules) note() {
	ms.ports.keep(ms.list)
	serving := []string{}
	for _, m := range ms.list {
		if m.State == activated {
			serving = append(serving, m.key())
		}
	}
	slices.Sort(serving)
	ms.log.note(serving, ms.process)
}
