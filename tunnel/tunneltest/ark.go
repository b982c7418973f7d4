package tunneltest

import (
	"fmt"
	"strings"
	"time"
)

const (
	resolved    = "resolved"
	activated   = "activated"
	deactivated = "deactivated"
)

// Command is what a base is asked over either tunnel.
type Command struct {
	Name      string            `json:"bizName"`
	Version   string            `json:"bizVersion"`
	URL       string            `json:"bizUrl"`
	Strategy  string            `json:"installStrategy"`
	Args      []string          `json:"args"`
	Env       map[string]string `json:"envs"`
	Async     bool              `json:"async"`
	RequestID string            `json:"requestId"`
}

// result is what came of a command, before a tunnel writes it in its own way.
type result struct {
	code    string // SUCCESS, FAILED or a thrown error's
	message string
	// data, unless there is none:
	has     bool
	opCode  string
	opText  string
	modules []*Module // bizInfos; nil for absent
	space   bool      // elapsedSpace is told
	trace   string    // of what was thrown
	chain   []string  // what was thrown, the outermost first
}

// thrown is the result of a command that ended in an exception. chain has the
// causes, the outermost first.
func thrown(handler string, chain ...string) result {
	var t strings.Builder
	t.WriteString("com.alipay.sofa.koupleless.arklet.core.common.exception.ArkletRuntimeException: " + chain[0] + "\n")
	at := "\tat com.alipay.sofa.koupleless.arklet.core.command.builtin.handler." + handler + ".handle(" + handler + ".java:77)\n"
	t.WriteString(at + at)
	for _, cause := range chain {
		t.WriteString("Caused by: " + cause + "\n" + at + "\t... 9 more\n")
	}
	return result{code: "FAILED", message: "Internal Error: " + chain[0], trace: t.String(), chain: chain}
}

// begin marks a module as having a command under way; it says which one has if
// there is one already.
func (b *Base) begin(name, command string) (other string, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if other, busy := b.running[name]; busy {
		return other, false
	}
	b.running[name] = command
	return "", true
}

func (b *Base) end(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.running, name)
}

// install does an installBiz, for as long as the module starts.
func (b *Base) install(c Command) result {
	if c.URL == "" {
		return result{code: "FAILED", message: "Internal Error: bizUrl should not be blank",
			trace: "com.alipay.sofa.koupleless.arklet.core.common.exception.CommandValidationException: bizUrl should not be blank\n\tat x.y(Z.java:1)\n"}
	}
	if other, ok := b.begin(c.Name, "installBiz"); !ok {
		return conflict(c, "installBiz", other)
	}
	defer b.end(c.Name)
	b.mu.Lock()
	life := b.lives
	if b.faults.WithoutEffect > 0 {
		b.faults.WithoutEffect--
		b.mu.Unlock()
		return result{code: "SUCCESS", has: true, opCode: "SUCCESS", opText: "install biz success", space: true}
	}
	failing := b.faults.FailInstalls > 0
	if failing {
		b.faults.FailInstalls--
	}
	b.mu.Unlock()
	jar := b.Jars.find(c.URL)
	if jar.Missing {
		return thrown("InstallBizHandler", "java.io.FileNotFoundException: "+strings.TrimPrefix(c.URL, "file://")+missingText(c.URL))
	}
	if failing {
		jar.FailWith = "told to fail"
	}
	m, r, done := b.register(c, jar)
	if done {
		return r
	}
	time.Sleep(startOf(jar, b.Start))
	return b.started(m, life)
}

func missingText(url string) string {
	if strings.HasPrefix(url, "file://") {
		return " (No such file or directory)"
	}
	return ""
}

func startOf(jar Jar, usual time.Duration) time.Duration {
	if jar.Start > 0 {
		return jar.Start
	}
	return usual
}

func conflict(c Command, command, other string) result {
	return result{code: "FAILED", message: fmt.Sprintf("FAILED:%s:%s %s conflict, exist unfinished command(%s) for this biz",
		c.Name, c.Version, command, other)}
}

// register puts a module in the list as resolved; done when there is nothing to
// start.
func (b *Base) register(c Command, jar Jar) (m *Module, r result, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.Strategy == "uninstallThenInstall" && !strings.HasPrefix(b.Runtime, "1.") {
		for _, old := range append([]*Module{}, b.modules...) {
			if old.Name == c.Name {
				b.remove(old)
				b.note()
			}
		}
	}
	if b.find(jar.Name, jar.Version) != nil {
		return nil, result{code: "FAILED", message: "install biz not success!", has: true, opCode: "REPEAT_BIZ", space: true,
			opText: fmt.Sprintf("Biz: %s:%s has been installed or registered.", jar.Name, jar.Version)}, true
	}
	m = &Module{Name: jar.Name, Version: jar.Version, State: resolved, jar: jar}
	m.records = append(m.records, change{b.now(), resolved, "CREATED", ""})
	b.modules = append([]*Module{m}, b.modules...) // the newest first, as captured
	return m, r, false
}

// started ends a module's start: it serves, waits beside another version, or fails
// and is uninstalled again.
func (b *Base) started(m *Module, life int) result {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lives != life {
		return result{} // the process is another one: nobody answers
	}
	if cause := b.failure(m); cause != nil {
		b.remove(m)
		return thrown("InstallBizHandler", append([]string{"java.lang.reflect.InvocationTargetException"}, cause...)...)
	}
	state, message := activated, ""
	for _, other := range b.modules {
		if other.Name == m.Name && other != m && other.State == activated {
			if b.ActivateNew {
				other.State = deactivated
				other.records = append(other.records, change{b.now(), deactivated, "SWITCHED", ""})
			} else {
				state, message = deactivated, "start but is deactivated"
			}
		}
	}
	m.State = state
	m.records = append(m.records, change{b.now(), state, "STARTED", message})
	b.installs[m.Name+":"+m.Version]++
	b.note()
	return result{code: "SUCCESS", has: true, opCode: "SUCCESS", space: true, modules: []*Module{m},
		opText: fmt.Sprintf("Install Biz: %s:%s success, cost: 100 ms, started at: x", m.Name, m.Version)}
}

// failure gives why a module cannot start, the outermost cause first; nil if it can.
func (b *Base) failure(m *Module) []string {
	if m.jar.FailWith != "" {
		return []string{"java.lang.IllegalStateException: " + m.jar.FailWith}
	}
	for _, other := range b.modules {
		if other != m && m.jar.Port != 0 && other.jar.Port == m.jar.Port {
			return []string{fmt.Sprintf("org.springframework.boot.web.server.PortInUseException: Port %d is already in use", m.jar.Port),
				"java.net.BindException: Address already in use"}
		}
	}
	return nil
}

// uninstall does an uninstallBiz.
func (b *Base) uninstall(c Command) result {
	if other, ok := b.begin(c.Name, "uninstallBiz"); !ok {
		return conflict(c, "uninstallBiz", other)
	}
	defer b.end(c.Name)
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.find(c.Name, c.Version)
	if m == nil {
		return result{code: "FAILED", message: "uninstall biz not success!", has: true, opCode: "NOT_FOUND_BIZ",
			opText: fmt.Sprintf("Uninstall biz: %s:%s not found.", c.Name, c.Version)}
	}
	b.remove(m)
	b.uninstalls[m.Name+":"+m.Version]++
	b.note()
	if m.jar.Plain && b.old() {
		return thrown("UninstallBizHandler", "com.alipay.sofa.koupleless.common.exception.BizRuntimeException: java.lang.NullPointerException: "+
			`Cannot invoke "org.springframework.context.support.AbstractApplicationContext.isActive()" because "applicationContext" is null`)
	}
	return result{code: "SUCCESS", has: true, opCode: "SUCCESS", opText: fmt.Sprintf("Uninstall biz: %s:%s success.", c.Name, c.Version)}
}

// switchTo does a switchBiz.
func (b *Base) switchTo(c Command) result {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := b.find(c.Name, c.Version)
	if m == nil {
		return result{code: "FAILED", message: "switch biz not success!", has: true, opCode: "NOT_FOUND_BIZ",
			opText: fmt.Sprintf("Switch biz: %s:%s not found.", c.Name, c.Version)}
	}
	for _, other := range b.modules {
		if other.Name == m.Name && other != m && other.State == activated {
			other.State = deactivated
			other.records = append(other.records, change{b.now(), deactivated, "SWITCHED", "switch to new version " + m.Name + ":" + m.Version})
		}
	}
	m.State = activated
	m.records = append(m.records, change{b.now(), activated, "SWITCHED", ""})
	b.note()
	return result{code: "SUCCESS", has: true, opCode: "SUCCESS", opText: fmt.Sprintf("Switch biz: %s:%s is activated.", c.Name, c.Version)}
}

// hear records a command.
func (b *Base) hear(command string, c Command) {
	b.mu.Lock()
	defer b.mu.Unlock()
	const most = 1000
	if len(b.heard) < most && command != "queryAllBiz" && command != "health" {
		b.heard = append(b.heard, Heard{time.Now(), command, c.Name + ":" + c.Version})
	}
}

// Install installs a module past any tunnel, as somebody else might.
func (b *Base) Install(c Command) { b.install(c) }
