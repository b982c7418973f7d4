package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

func TestFailuresOfAPurpose(t *testing.T) {
	f := Failure{Purpose: ofUninstall, Count: 2, NotBefore: noon}
	fs := failures{module("orders:1"): f}
	if d := cmp.Diff(f, fs.of(module("orders:1"), ofUninstall)); d != "" {
		t.Errorf("of the same purpose (-want +got):\n%s", d)
	}
	for _, none := range []Failure{fs.of(module("orders:1"), from(urlOf("orders", "1"))), fs.of(module("orders:2"), ofUninstall)} {
		if none != (Failure{}) {
			t.Errorf("found %+v, want none", none)
		}
	}
}

// Failures count on while the purpose stays, and from one for another.
func TestFailuresAgain(t *testing.T) {
	key, refusal := module("orders:1"), &tunnel.Answer{Outcome: tunnel.Failed}
	fs := failures{key: {Purpose: from(urlOf("orders", "1")), Count: 2, Message: "before"}}
	for _, c := range []struct {
		name    string
		command tunnel.Command
		answer  *tunnel.Answer
		want    Failure
	}{
		{"the same URL", install("orders:1"), refusal, Failure{Purpose: from(urlOf("orders", "1")), Count: 3, At: noon, Message: "before"}},
		{"another URL", tunnel.Command{Verb: tunnel.InstallModule, Module: key, URL: "file:///new.jar"}, refusal, Failure{Purpose: from("file:///new.jar"), Count: 1, At: noon}},
		{"another verb", uninstall("orders:1"), refusal, Failure{Purpose: ofUninstall, Count: 1, At: noon}},
		{"another module", install("orders:2"), refusal, Failure{Purpose: from(urlOf("orders", "2")), Count: 1, At: noon}},
		{"no answer", switchTo("orders:1"), nil, Failure{Purpose: ofSwitch, Count: 1, At: noon, Unanswered: true}},
		{"busy", switchTo("orders:1"), &tunnel.Answer{Outcome: tunnel.Busy}, Failure{Purpose: ofSwitch, Count: 1, At: noon, Unanswered: true}},
	} {
		if d := cmp.Diff(c.want, fs.again(Attempt{Command: c.command, Answer: c.answer}, noon)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// What starts beside another version and fails in its place counts on through all that is
// tried to make it serve.
func TestFailuresToServeCountOn(t *testing.T) {
	key, beside := module("orders:1"), []tunnel.ModuleKey{module("orders:0")}
	fs := failures{}
	fail := func(c tunnel.Command, want Failure) {
		t.Helper()
		fs[key] = fs.again(Attempt{Command: c, Before: beside, Answer: &tunnel.Answer{Outcome: tunnel.Failed}}, noon)
		want.At = noon
		if d := cmp.Diff(want, fs[key]); d != "" {
			t.Fatalf("%s (-want +got):\n%s", c.Verb, d)
		}
	}
	ofInstall := from(urlOf("orders", "1"))
	fail(install("orders:1"), Failure{Purpose: ofInstall, Count: 1, Beside: true})
	fs.succeeded(install("orders:1"))
	fail(switchTo("orders:1"), Failure{Purpose: ofSwitch, Count: 1})
	fail(install("orders:1", replacing), Failure{Purpose: ofInstall, Count: 1})
	fs.succeeded(install("orders:1"))
	fail(switchTo("orders:1"), Failure{Purpose: ofSwitch, Count: 2, Proved: true})
	fail(install("orders:1", replacing), Failure{Purpose: ofInstall, Count: 3, Proved: true})
	fail(install("orders:1"), Failure{Purpose: ofInstall, Count: 4, Proved: true})
	fail(uninstall("orders:1"), Failure{Purpose: ofUninstall, Count: 1})
}

// What a success makes untrue is forgotten, and nothing else.
func TestFailuresAreForgotten(t *testing.T) {
	ofInstall := Failure{Purpose: from(urlOf("orders", "1")), Count: 1}
	ofBeside, elsewhere := ofInstall, Failure{Purpose: from("file:///old.jar"), Count: 1}
	ofBeside.Beside = true
	failedUninstall := Failure{Purpose: ofUninstall, Count: 1}
	for _, c := range []struct {
		name   string
		failed Failure
		do     func(failures)
		kept   bool
	}{
		{"installed in its place", ofInstall, func(fs failures) { fs.succeeded(install("orders:1", replacing)) }, false},
		{"installed beside another", ofInstall, func(fs failures) { fs.succeeded(install("orders:1")) }, true},
		{"failed beside another, and installed", ofBeside, func(fs failures) { fs.succeeded(install("orders:1")) }, false},
		{"failed from elsewhere, and installed", elsewhere, func(fs failures) { fs.succeeded(install("orders:1")) }, false},
		{"installed after a failed uninstall", failedUninstall, func(fs failures) { fs.succeeded(install("orders:1")) }, false},
		{"another is installed", ofInstall, func(fs failures) { fs.succeeded(install("orders:2")) }, true},
		{"uninstalled", failedUninstall, func(fs failures) { fs.succeeded(uninstall("orders:1")) }, false},
		{"uninstalled after a failed install", ofInstall, func(fs failures) { fs.succeeded(uninstall("orders:1")) }, true},
		{"switched after a failed install", ofInstall, func(fs failures) { fs.succeeded(switchTo("orders:1")) }, true},
		{"it serves", ofInstall, func(fs failures) { fs.serves(module("orders:1")) }, false},
		{"it serves, and could not be uninstalled", failedUninstall, func(fs failures) { fs.serves(module("orders:1")) }, true},
	} {
		fs := failures{module("orders:1"): c.failed}
		c.do(fs)
		if _, kept := fs[module("orders:1")]; kept != c.kept {
			t.Errorf("%s: kept %v, want %v", c.name, kept, c.kept)
		}
	}
}

func TestBackOff(t *testing.T) {
	cfg := Config{BackOffBase: 10 * time.Second, BackOffMax: 5 * time.Minute}
	for count, want := range map[int]time.Duration{
		1: 10 * time.Second, 2: 20 * time.Second, 3: 40 * time.Second, 5: 160 * time.Second, 6: 5 * time.Minute, 1000: 5 * time.Minute,
	} {
		if got := cfg.backOff(count); got != want {
			t.Errorf("after %d failures %s, want %s", count, got, want)
		}
	}
}

// A back-off is cut short once another module serves, once, and only where that may help.
func TestAFailureIsTriedSoonerOnceAnotherModuleServes(t *testing.T) {
	late, soon := noon.Add(time.Minute), noon.Add(hurryPause)
	for _, c := range []struct {
		name   string
		failed Failure
		list   []string
		sent   tunnel.Command
		pods   []Pod
		want   time.Time
	}{
		{"another was installed", Failure{Purpose: from("x"), Count: 5, NotBefore: late}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, soon},
		{"another was switched to", Failure{Purpose: from("x"), Count: 5, NotBefore: late}, []string{"stock:1 activated"}, switchTo("stock:1"), []Pod{podFor("s", "stock:1")}, soon},
		{"not what failed too often", Failure{Purpose: from("x"), Count: hurriedMost + 1, NotBefore: late}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, late},
		{"it is due anyway", Failure{Purpose: from("x"), Count: 1, NotBefore: noon.Add(time.Second)}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, noon.Add(time.Second)},
		{"once", Failure{Purpose: from("x"), Count: 5, NotBefore: late, Hurried: true}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, late},
		{"not a wrong jar", Failure{Purpose: from("x"), Count: 5, NotBefore: late, Mismatch: module("x:1")}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, late},
		{"not an uninstall", Failure{Purpose: ofUninstall, Count: 5, NotBefore: late}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, late},
		{"it does not serve yet", Failure{Purpose: from("x"), Count: 5, NotBefore: late}, []string{"stock:1 deactivated"}, install("stock:1"), []Pod{podFor("s", "stock:1")}, late},
		{"it is only given back", Failure{Purpose: from("x"), Count: 5, NotBefore: late}, []string{"stock:1 activated"}, install("stock:1"), []Pod{podFor("s", "stock:1", age(time.Hour)), podFor("t", "stock:2")}, late},
		{"it is the same module", Failure{Purpose: from("x"), Count: 5, NotBefore: late}, []string{"orders:2 activated"}, install("orders:2"), []Pod{podFor("t", "orders:2")}, late},
	} {
		in := onBase(c.list...).with(c.pods...).sent(c.sent, time.Second)
		failing(c.failed)(&in)
		p := newPlanner(in)
		resolver{p}.resolveAll()
		f := p.failures[module("orders:1")]
		if !f.NotBefore.Equal(c.want) || f.Count != c.failed.Count {
			t.Errorf("%s: tried again at %s, want %s; count %d", c.name, f.NotBefore, c.want, f.Count)
		}
	}
}
