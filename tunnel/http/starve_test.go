package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/semaphore"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
	"module-controller/tunnel/tunneltest"
)

// hole is a place that accepts and never answers.
func hole(t testing.TB) (port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).Port
}

// dead follows bases that accept and never answer, and gives them as many commands as the
// tunnel takes.
func dead(t testing.TB, tun *Tunnel, n, port int) (bases []tunnel.BaseID) {
	t.Helper()
	for i := range n {
		h := tunnel.Heartbeat{Base: tunnel.BaseID{Env: "dev", Identity: fmt.Sprint("dead-", i)}, IP: "127.0.0.1", Port: port}
		tun.Follow(h)
		bases = append(bases, h.Base)
	}
	press(t, tun, bases)
	return bases
}

func press(t testing.TB, tun *Tunnel, bases []tunnel.BaseID) {
	t.Helper()
	for _, b := range bases {
		for tun.Do(t.Context(), b, list) == nil {
		}
	}
}

// 600 bases that never answer keep no command from those that do, nor, for long, from one
// that is new.
func TestDeadBasesStarveNobody(t *testing.T) {
	const timeout = time.Second
	tun, s, _ := start(t, func(c *Config) { c.Timeout, c.InstallTimeout = timeout, time.Minute })
	var living []tunnel.Heartbeat
	for range 20 {
		h := server(t, atOnce)
		tun.Follow(h)
		living = append(living, h)
		if err := tun.Do(t.Context(), h.Base, list); err != nil {
			t.Fatal(err)
		}
		tunneltest.Await(t, "its first list", func() bool { return s.Recorded().Lists(h.Base) == 1 })
	}
	all := dead(t, tun, 600, hole(t))
	for range 5 {
		for _, h := range living {
			n := s.Recorded().Lists(h.Base)
			if err := tun.Do(t.Context(), h.Base, list); err != nil {
				t.Fatalf("a command to a living base: %v", err)
			}
			asked := time.Now()
			tunneltest.Await(t, "a list", func() bool {
				if time.Since(asked) > 2*timeout { // the machine was too slow for it
					asked = time.Now()
					_ = tun.Do(t.Context(), h.Base, list)
				}
				return s.Recorded().Lists(h.Base) > n
			})
			press(t, tun, all[:50])
		}
	}
	late := server(t, atOnce)
	tun.Follow(late)
	tunneltest.Await(t, "the list of a new base", func() bool {
		press(t, tun, all)
		_ = tun.Do(t.Context(), late.Base, list)
		return s.Recorded().Lists(late.Base) > 0
	})
	for _, b := range all {
		tun.Unfollow(b)
	}
}

// 64 bases that die at once, each with all requests in flight that it may have, take no
// command and no question from one that answers, nor from one that is new or was slow.
func TestBasesThatDieAtOnceRefuseNobodyElse(t *testing.T) {
	tun, s, _ := start(t, func(c *Config) { c.Timeout, c.InstallTimeout = 10*time.Second, time.Minute })
	var down atomic.Bool
	mortal := server(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			never(w, r)
			return
		}
		atOnce(w, r)
	})
	busy, released := atomic.Bool{}, make(chan struct{})
	living := server(t, func(w http.ResponseWriter, r *http.Request) {
		if busy.Load() {
			<-released
		}
		atOnce(w, r)
	})
	lists := func(h tunnel.Heartbeat) {
		t.Helper()
		tun.Follow(h)
		tunneltest.Await(t, "a list", func() bool {
			_ = tun.Do(t.Context(), h.Base, list)
			return s.Recorded().Lists(h.Base) > 0
		})
	}
	lists(living)
	var all []tunnel.BaseID
	for i := range 64 {
		mortal.Base.Identity = fmt.Sprint("mortal-", i)
		lists(mortal)
		all = append(all, mortal.Base)
	}
	tunneltest.Await(t, "the end of all requests", tun.idle)
	down.Store(true)
	busy.Store(true)
	press(t, tun, all)
	for _, c := range []tunnel.Command{
		{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "a", Version: "1"}}, {Verb: tunnel.UninstallModule, Module: tunnel.ModuleKey{Name: "b", Version: "1"}},
		{Verb: tunnel.SwitchModule, Module: tunnel.ModuleKey{Name: "c", Version: "1"}}, list, {Verb: tunnel.ReadHealth},
	} {
		if err := tun.Do(t.Context(), living.Base, c); err != nil {
			t.Errorf("one that answers, %s: %v", c.Verb, err)
		}
	}
	living.Base.Identity = "new"
	tun.Follow(living)
	for _, c := range []tunnel.Command{list, {Verb: tunnel.ReadHealth}} {
		if err := tun.Do(t.Context(), living.Base, c); err != nil {
			t.Errorf("one that is new, %s: %v", c.Verb, err)
		}
	}
	close(released)
	for _, b := range all {
		tun.Unfollow(b)
	}
}

// An install that is under way holds no request while nothing is asked.
func TestInstallsHoldNoRequests(t *testing.T) {
	tun, s, _ := start(t, func(c *Config) { c.Timeout, c.InstallTimeout, c.Total = 10*time.Second, time.Minute, 64 })
	var mu sync.Mutex
	ended, begun := false, map[string]bool{}
	h := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case r.URL.Path == "/help":
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":[{"id":"queryBizOps"}]}`)
		case r.URL.Path == "/queryAllBiz":
			atOnce(w, r)
		case ended:
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":{"status":"SUCCEEDED"}}`)
		default:
			if r.URL.Path == "/installBiz" {
				begun[string(body)] = true
			}
			_, _ = io.WriteString(w, `{"code":"SUCCESS","data":{"status":"EXECUTING"}}`)
		}
	})
	const bases = 300
	for i := range bases {
		h.Base.Identity = fmt.Sprint("b", i)
		tun.Follow(h)
		install := tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "m", Version: "1"}, URL: "http://x/m.jar", RequestID: fmt.Sprint("r", i)}
		tunneltest.Await(t, "room for the install", func() bool { return tun.Do(t.Context(), h.Base, install) == nil })
	}
	tunneltest.Await(t, "all to have begun", func() bool { mu.Lock(); defer mu.Unlock(); return len(begun) == bases })
	h.Base.Identity = "other"
	tun.Follow(h)
	tunneltest.Await(t, "a list of another base", func() bool {
		_ = tun.Do(t.Context(), h.Base, list)
		return s.Recorded().Lists(h.Base) > 0
	})
	mu.Lock()
	ended = true
	mu.Unlock()
	tunneltest.Await(t, "the answers of all", func() bool {
		n := 0
		for _, r := range s.Recorded().Reports {
			if r.Answer != nil {
				n++
			}
		}
		return n == bases
	})
	tunneltest.Await(t, "all to have ended", tun.idle)
}

// Long answers are read and decoded only as far as there is room for them; short ones, and
// those who give up, do not wait.
func TestLongAnswersShareTheirRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const room, many = maxAnswers / arklet.MaxMessage, 3 * maxAnswers / arklet.MaxMessage
		tun := &Tunnel{answers: semaphore.NewWeighted(maxAnswers)}
		var mu sync.Mutex
		inside, done, total := 0, make(chan struct{}), 0
		var readers sync.WaitGroup
		for range many {
			readers.Go(func() {
				_ = tun.digest(t.Context(), strings.NewReader(strings.Repeat("x", smallAnswer)+"yz"), arklet.MaxMessage, func(answer []byte, err error) error {
					mu.Lock()
					inside++
					total += len(answer)
					mu.Unlock()
					<-done
					return err
				})
			})
		}
		synctest.Wait()
		if inside != room {
			t.Errorf("%d long answers are used at a time, want %d", inside, room)
		}
		short := errors.New("not used")
		_ = tun.digest(t.Context(), strings.NewReader("short"), arklet.MaxMessage, func(answer []byte, err error) error { short = err; return nil })
		if short != nil {
			t.Errorf("a short answer: %v", short)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := tun.digest(ctx, strings.NewReader(strings.Repeat("x", smallAnswer)), arklet.MaxMessage, func(_ []byte, err error) error { return err })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waited in vain: %v", err)
		}
		close(done)
		readers.Wait()
		if inside != many || total != many*(smallAnswer+2) {
			t.Errorf("%d answers of %d bytes were used", inside, total)
		}
	})
}
