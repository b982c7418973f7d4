package basetest

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// jarOf is a command with the jar that it names.
func jarOf(name, version string) Command {
	return Command{Name: name, Version: version, URL: "file:///" + name + "-" + version + "-ark-biz.jar"}
}

func replacing(c Command) Command {
	c.Strategy = replaceStrategy
	return c
}

// states are a base's modules and their states.
func states(b *Base) map[string]string {
	m := map[string]string{}
	for _, module := range b.Look().Modules {
		m[module.key()] = module.State
	}
	return m
}

func TestSecondVersion(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want map[string]string
	}{
		"by default": {Options{}, map[string]string{"a:1": activated, "a:2": deactivated}},
		"activated":  {Options{ActivateNew: true}, map[string]string{"a:1": deactivated, "a:2": activated}},
		"several":    {Options{Several: true}, map[string]string{"a:1": activated, "a:2": activated}},
	} {
		b := mustNew(t, c.o)
		b.Install(t.Context(), jarOf("a", "1"))
		b.Install(t.Context(), jarOf("a", "2"))
		if diff := cmp.Diff(c.want, states(b)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReplacementThatFailsLeavesNothing(t *testing.T) {
	for _, last := range []Command{
		{Name: "a", Version: "2", URL: "file:///missing.jar"}, {Name: "a", Version: "2", URL: "file:///failing.jar"},
	} {
		b := mustNew(t, Options{})
		b.Jars().Add(Jar{URL: "file:///failing.jar", Name: "a", Version: "2", FailWith: "no"})
		b.Install(t.Context(), jarOf("a", "1"))
		b.Install(t.Context(), jarOf("b", "1"))
		b.Install(t.Context(), replacing(last))
		if diff := cmp.Diff(map[string]string{"b:1": activated}, states(b)); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", last.URL, diff)
		}
	}
}

func TestFailedInstallStaysWhereItIsKept(t *testing.T) {
	b := mustNew(t, Options{KeepFailed: true})
	b.Set(func(f *Faults) { f.FailInstalls = 1 })
	b.Install(t.Context(), jarOf("a", "1"))
	if diff := cmp.Diff(map[string]string{"a:1": broken}, states(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Every install costs metaspace, also one that fails; a module that does not fit does
// not start, and a restart gives all back.
func TestMetaspaceFills(t *testing.T) {
	const module = 20 << 20
	b := mustNew(t, Options{MaxMetaspace: idleMetaspace + 3*module, Leak: 1 << 20})
	for _, v := range []string{"1", "2", "3"} {
		b.Jars().Add(Jar{URL: jarOf("a", v).URL, Name: "a", Version: v, Metaspace: module})
	}
	b.Install(t.Context(), jarOf("a", "1"))
	b.Install(t.Context(), jarOf("a", "2"))
	r := b.running().do(t.Context(), installBiz, jarOf("a", "3"))
	if r.ok || !strings.Contains(r.thrown.trace(), "Caused by: java.lang.OutOfMemoryError: Metaspace") {
		t.Errorf("a third module: %+v", r)
	}
	jvm, _ := b.healthData(strings.ToLower)["healthData"].(object)["jvm"].(object)
	if used, want := jvm["java used metaspace"], int64(idleMetaspace+2*module+3<<20); used != want {
		t.Errorf("used %v, want %d", used, want)
	}
	b.Restart()
	b.Install(t.Context(), jarOf("a", "3"))
	if diff := cmp.Diff(map[string]string{"a:3": activated}, states(b)); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

func TestEffectAndAnswerPart(t *testing.T) {
	b := mustNew(t, Options{})
	p := b.running()
	b.Set(func(f *Faults) { f.WithoutEffect, f.ErrorWithEffect = 1, 1 })
	if r := p.do(t.Context(), installBiz, jarOf("a", "1")); r.ok {
		t.Errorf("both at once: %+v", r)
	}
	if len(states(b)) != 0 {
		t.Errorf("an install without effect had one: %v", states(b))
	}
	b.Set(func(f *Faults) { f.WithoutEffect, f.ErrorWithEffect = 1, 0 })
	if r := p.do(t.Context(), installBiz, jarOf("a", "1")); !r.ok || len(states(b)) != 0 {
		t.Errorf("without effect: %+v, %v", r, states(b))
	}
	b.Set(func(f *Faults) { f.ErrorWithEffect = 2 })
	if r := p.do(t.Context(), installBiz, jarOf("a", "1")); r.ok || states(b)["a:1"] != activated {
		t.Errorf("error with effect: %+v, %v", r, states(b))
	}
	if r := p.do(t.Context(), uninstallBiz, jarOf("a", "1")); r.ok || len(states(b)) != 0 {
		t.Errorf("error with effect: %+v, %v", r, states(b))
	}
	if n := b.Look(); n.Installs["a:1"] != 1 || n.Uninstalls["a:1"] != 1 {
		t.Errorf("counted %v and %v", n.Installs, n.Uninstalls)
	}
}

// What is under way when the process ends is lost, and nobody answers.
func TestRestartLosesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, Options{Start: time.Hour})
		lost := make(chan bool)
		p := b.running()
		ctx, done := p.join(t.Context())
		defer done()
		go func() { lost <- p.do(ctx, installBiz, jarOf("a", "1")).lost }()
		synctest.Wait()
		if states(b)["a:1"] != resolved {
			t.Errorf("modules %v", states(b))
		}
		b.Restart()
		if !<-lost {
			t.Error("somebody answers")
		}
		if got := b.Look(); len(got.Modules) != 0 || len(got.Installs) != 0 || got.Process != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestHistoryOfServing(t *testing.T) {
	b := mustNew(t, Options{})
	b.Install(t.Context(), jarOf("a", "1"))
	b.Install(t.Context(), jarOf("a", "2"))
	b.Switch(t.Context(), jarOf("a", "2"))
	b.Install(t.Context(), replacing(jarOf("a", "1")))
	b.Uninstall(t.Context(), jarOf("a", "1"))
	b.Stop()
	var got []string
	for i, s := range b.Look().Serving {
		got = append(got, strings.Join(s.Modules, " "))
		if i > 0 && s.Mono < b.Look().Serving[i-1].Mono {
			t.Error("time goes back")
		}
	}
	if want := []string{"", "a:1", "a:2", "", "a:1", ""}; !slices.Equal(got, want) {
		t.Errorf("served %q, want %q", got, want)
	}
}

// Five threads; five more once a hundred tasks wait; no more after that.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{core: 5, most: 10, limit: 100}
		var work sync.WaitGroup
		end := make(chan struct{})
		taken := 0
		for range 200 {
			if p.submit(work.Go, func() { <-end }) {
				taken++
			}
			if taken == 105 && p.running != 5 {
				t.Errorf("%d threads while the queue has room", p.running)
			}
		}
		if taken != 110 || p.running != 10 {
			t.Errorf("%d tasks taken by %d threads", taken, p.running)
		}
		close(end)
		work.Wait()
		if p.running != 0 || len(p.queue) != 0 {
			t.Errorf("%d threads and %d tasks are left", p.running, len(p.queue))
		}
	})
}

func TestOrderIsThatOfTheTables(t *testing.T) {
	var modules []*Module
	for _, k := range []string{"stock:1.0.0", "orders:1.0.0", "hello:1.0.0", "orders:3.0.0", "orders:2.0.0"} {
		name, version, _ := strings.Cut(k, ":")
		modules = append(modules, &Module{Name: name, Version: version})
	}
	var got []string
	for _, m := range inOrder(modules) {
		got = append(got, m.key())
	}
	want := []string{"orders:2.0.0", "orders:3.0.0", "orders:1.0.0", "hello:1.0.0", "stock:1.0.0"} // slots 10 (0, 3, 13), 11, 12
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
