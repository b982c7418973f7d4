package basetest

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// An uninstall that fails leaves the module serving, and the next one may work.
func TestUninstallsFail(t *testing.T) {
	for name, c := range map[string]struct {
		with string
		want string // in the answer over either tunnel
	}{
		"as answered": {"", "java.io.IOException: Unable to delete file"},
		"as thrown":   {"java.io.IOException: in use", "Caused by: java.io.IOException: in use"},
	} {
		b := mustNew(t, Options{})
		p := b.running()
		b.Install(t.Context(), jarOf("a", "1"))
		b.Set(func(f *Faults) { f.FailUninstalls, f.FailUninstallsWith = 2, c.with })
		for _, write := range []func(result) object{b.write, b.writeMQTT} {
			r := p.do(t.Context(), uninstallBiz, jarOf("a", "1"))
			if text := string(encode(write(r))); r.ok || !strings.Contains(text, c.want) {
				t.Errorf("%s: %s", name, text)
			}
			if !b.Serves("a", "1") {
				t.Errorf("%s: it has gone", name)
			}
		}
		if r := p.do(t.Context(), uninstallBiz, jarOf("a", "1")); !r.ok || len(states(b)) != 0 {
			t.Errorf("%s: a third uninstall: %+v, %v", name, r, states(b))
		}
		if n := b.Look().Uninstalls["a:1"]; n != 1 {
			t.Errorf("%s: counted %d", name, n)
		}
	}
}

func TestUninstallsAnswerSuccessAndLeaveTheModule(t *testing.T) {
	b := mustNew(t, Options{})
	b.Install(t.Context(), jarOf("a", "1"))
	b.Set(func(f *Faults) { f.KeepUninstalled = math.MaxInt })
	for range 3 {
		if r := b.running().do(t.Context(), uninstallBiz, jarOf("a", "1")); !r.ok || !b.Serves("a", "1") {
			t.Fatalf("%+v, %v", r, states(b))
		}
	}
	b.Resume()
	b.Uninstall(t.Context(), jarOf("a", "1"))
	if n := b.Look().Uninstalls["a:1"]; n != 1 || len(states(b)) != 0 {
		t.Errorf("counted %d, modules %v", n, states(b))
	}
}

// A start that hangs leaves the module resolved: nothing removes it but the end of the
// start or of the process.
func TestStartsHang(t *testing.T) {
	hangs := map[string]func(*Base){
		"by its jar":  func(b *Base) { b.Jars().Add(Jar{URL: jarOf("a", "1").URL, Name: "a", Version: "1", Hangs: true}) },
		"by its base": func(b *Base) { b.Set(func(f *Faults) { f.HangStarts = 1 }) },
	}
	for name, hang := range hangs {
		synctest.Test(t, func(t *testing.T) {
			b := mustNew(t, Options{})
			hang(b)
			p := b.running()
			ctx, done := p.join(t.Context())
			defer done()
			results := make(chan result, 1)
			go func() { results <- p.do(ctx, installBiz, jarOf("a", "1")) }()
			time.Sleep(1000 * time.Hour)
			synctest.Wait()
			if diff := cmp.Diff(map[string]string{"a:1": resolved}, states(b)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if r := p.do(ctx, uninstallBiz, jarOf("a", "1")); r.op != nil || !strings.Contains(r.message, "conflict") {
				t.Errorf("%s: an uninstall meanwhile: %+v", name, r)
			}
			if r := p.uninstall(ctx, jarOf("a", "1")); r.thrown == nil || !strings.Contains(r.message, "BizState must be") {
				t.Errorf("%s: an uninstall that meets no command: %+v", name, r)
			}
			b.EndStarts()
			if r := <-results; !r.ok || !b.Serves("a", "1") {
				t.Errorf("%s: after the start: %+v, %v", name, r, states(b))
			}
			b.Restart()
		})
	}
}

// A hung start ends with the process.
func TestARestartEndsStartsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, Options{})
		b.Set(func(f *Faults) { f.HangStarts = math.MaxInt })
		p := b.running()
		ctx, done := p.join(t.Context())
		defer done()
		results := make(chan result, 1)
		go func() { results <- p.do(ctx, installBiz, jarOf("a", "1")) }()
		synctest.Wait()
		b.Restart()
		if r := <-results; !r.lost || len(states(b)) != 0 {
			t.Errorf("%+v, %v", r, states(b))
		}
	})
}

// While a jar is fetched nothing is listed, and other commands for it meet a conflict.
func TestSlowDownloads(t *testing.T) {
	slow := map[string]func(*Base){
		"its jar": func(b *Base) {
			b.Jars().Add(Jar{URL: jarOf("a", "1").URL, Name: "a", Version: "1", Download: time.Minute, Start: time.Second})
		},
		"any jar": func(b *Base) { b.Set(func(f *Faults) { f.Download = time.Minute }) },
	}
	for name, fault := range slow {
		synctest.Test(t, func(t *testing.T) {
			b := mustNew(t, Options{Start: time.Second})
			fault(b)
			p := b.running()
			go p.do(t.Context(), installBiz, jarOf("a", "1"))
			time.Sleep(59 * time.Second)
			if r := p.do(t.Context(), installBiz, jarOf("a", "1")); !strings.Contains(r.message, "conflict") || len(states(b)) != 0 {
				t.Errorf("%s after 59 s: %+v, %v", name, r, states(b))
			}
			time.Sleep(1500 * time.Millisecond)
			if states(b)["a:1"] != resolved {
				t.Errorf("%s after 60.5 s: %v", name, states(b))
			}
			time.Sleep(time.Second)
			if !b.Serves("a", "1") {
				t.Errorf("%s after 61.5 s: %v", name, states(b))
			}
		})
	}
}

// A module that stops slowly is deactivated until it is gone, and one that is switched to
// slowly serves then; other commands for it meet a conflict.
func TestSlowUninstallsAndSwitches(t *testing.T) {
	for command, c := range map[string]struct {
		version      string
		fault        func(*Faults)
		during, then map[string]string
	}{
		uninstallBiz: {"1", func(f *Faults) { f.SlowUninstalls = time.Minute },
			map[string]string{"a:1": deactivated, "a:2": deactivated}, map[string]string{"a:2": deactivated}},
		switchBiz: {"2", func(f *Faults) { f.SlowSwitches = time.Minute },
			map[string]string{"a:1": activated, "a:2": deactivated}, map[string]string{"a:1": deactivated, "a:2": activated}},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := mustNew(t, Options{})
			b.Install(t.Context(), jarOf("a", "1"))
			b.Install(t.Context(), jarOf("a", "2"))
			b.Set(c.fault)
			p := b.running()
			go p.do(t.Context(), command, jarOf("a", c.version))
			time.Sleep(59 * time.Second)
			if diff := cmp.Diff(c.during, states(b)); diff != "" {
				t.Errorf("%s after 59 s (-want +got):\n%s", command, diff)
			}
			if r := p.do(t.Context(), command, jarOf("a", c.version)); !strings.Contains(r.message, "conflict") {
				t.Errorf("%s, a second one: %+v", command, r)
			}
			time.Sleep(2 * time.Second)
			if diff := cmp.Diff(c.then, states(b)); diff != "" {
				t.Errorf("%s after 61 s (-want +got):\n%s", command, diff)
			}
		})
	}
}

// What an install replaces is gone before its jar is fetched.
func TestReplacementsGoBeforeTheDownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mustNew(t, Options{})
		b.Install(t.Context(), jarOf("a", "1"))
		b.Set(func(f *Faults) { f.Download = time.Minute })
		go b.Install(t.Context(), replacing(jarOf("a", "2")))
		synctest.Wait()
		if len(states(b)) != 0 {
			t.Errorf("modules %v", states(b))
		}
		time.Sleep(time.Hour)
	})
}

// A late list tells what was there when it was asked for.
func TestListsComeLate(t *testing.T) {
	const late = 300 * time.Millisecond
	t.Run("MQTT", func(t *testing.T) {
		b := mustNew(t, Options{})
		broker, sub := speak(t, 1, b)
		b.Set(func(f *Faults) { f.LateLists = late })
		began := time.Now()
		command(t, broker, b, queryAllBiz, object{})
		await(t, "the question", func() bool { return b.Look().Questions[queryAllBiz] == 1 })
		await(t, "the list to be made", func() bool { return idle(b) })
		b.Install(t.Context(), jarOf("a", "1"))
		if list := said(t, sub, b, "simpleBiz"); string(list) != "[]" || time.Since(began) < late {
			t.Errorf("list %s after %s", list, time.Since(began))
		}
	})
	t.Run("HTTP", func(t *testing.T) {
		b := mustNew(t, Options{})
		url := serveHTTP(t, b)
		b.Set(func(f *Faults) { f.LateLists = late })
		time.AfterFunc(late/2, func() { b.Install(t.Context(), jarOf("a", "1")) })
		began := time.Now()
		resp, err := http.Post(url+"/queryAllBiz", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var answer struct{ Data []any }
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || len(answer.Data) != 0 || time.Since(began) < late {
			t.Errorf("%v, list %v after %s", err, answer.Data, time.Since(began))
		}
	})
}
