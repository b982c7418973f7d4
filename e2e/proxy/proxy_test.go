package proxy

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const timeout = 20 * time.Second

func TestPassesBytesAndEnds(t *testing.T) {
	p, _ := started(t)
	c := dial(t, p)
	sent := make([]byte, 8<<20) // more than all buffers hold
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(sent)
	var writing sync.WaitGroup
	writing.Go(func() {
		_, err := c.Write(sent)
		if err := errors.Join(err, c.CloseWrite()); err != nil {
			t.Error(err)
		}
	})
	got, err := io.ReadAll(c) // ends because the end was passed on, both ways
	writing.Wait()
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes came back of %d (%v)", len(got), len(sent), err)
	}
}

func TestCutResetsAndRefuses(t *testing.T) {
	p, _ := started(t)
	c := dial(t, p)
	answers(t, c, "before")
	must(t, p.Cut())
	if n, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes (%v) from a cut connection, want a reset", n, err)
	}
	if c, err := net.DialTimeout("tcp", p.Addr(), timeout); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connected to %v (%v), want to be refused", c, err)
	}
	must(t, p.Cut()) // once more changes nothing
	must(t, p.Pass())
	answers(t, dial(t, p), "after")
}

func TestBlackholeHoldsBytes(t *testing.T) {
	p, e := started(t)
	old := dial(t, p)
	answers(t, old, "before")
	<-e.came
	must(t, p.Blackhole())
	_, err := io.WriteString(old, "held")
	must(t, err)
	silent(t, old)
	fresh := dial(t, p) // accepted
	_, err = io.WriteString(fresh, "also held")
	must(t, err)
	silent(t, fresh)
	select {
	case <-e.came:
		t.Error("the target got a connection")
	default:
	}
	must(t, p.Pass())
	hears(t, old, "held")
	hears(t, fresh, "also held")
}

func TestBlackholeHoldsAnswersAndEnds(t *testing.T) {
	before := goleak.IgnoreCurrent()
	defer goleak.VerifyNone(t, before)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	p, err := Start(l.Addr().String())
	must(t, err)
	defer p.Close()
	client := dial(t, p)
	server, err := l.Accept()
	must(t, err)
	must(t, p.Blackhole())
	_, err = io.WriteString(server, "bye")
	must(t, errors.Join(err, server.Close()))
	silent(t, client)
	must(t, p.Pass())
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "bye" {
		t.Errorf("heard %q (%v), want bye and the end", got, err)
	}
}

func TestCutEndsABlackhole(t *testing.T) {
	p, _ := started(t)
	c := dial(t, p)
	answers(t, c, "before")
	must(t, p.Blackhole())
	_, err := io.WriteString(c, "lost")
	must(t, err)
	must(t, p.Cut())
	if n, err := c.Read(make([]byte, 4)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %d bytes (%v) from a cut connection, want a reset", n, err)
	}
	must(t, p.Pass())
	answers(t, dial(t, p), "after")
}

func TestDelay(t *testing.T) {
	p, _ := started(t)
	c := dial(t, p)
	answers(t, c, "before")
	const delay = 500 * time.Millisecond
	must(t, p.Delay(delay))
	began := time.Now()
	answers(t, c, "slow")
	if took := time.Since(began); took < 2*delay {
		t.Errorf("there and back took %s, want at least %s", took, 2*delay)
	}
	// A delay is not a rate: what is said in a row comes in a row.
	began = time.Now()
	for range 20 {
		_, err := c.Write([]byte("x"))
		must(t, err)
		time.Sleep(delay / 10) // so that each is a piece of its own
	}
	hears(t, c, "xxxxxxxxxxxxxxxxxxxx")
	if took := time.Since(began); took > 10*delay {
		t.Errorf("20 pieces took %s: they waited for each other", took)
	}
	must(t, p.Pass())
	began = time.Now()
	answers(t, c, "quick")
	if took := time.Since(began); took >= delay {
		t.Errorf("without the delay there and back took %s", took)
	}
}

func TestTargetAway(t *testing.T) {
	p, e := started(t)
	e.close()
	c, err := net.DialTimeout("tcp", p.Addr(), timeout)
	if err == nil { // the reset may come before the dial returns
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("error is %v while the target is away, want a reset", err)
	}
	again, err := net.Listen("tcp", e.l.Addr().String())
	must(t, err)
	defer again.Close()
	dial(t, p)
	if c, err = again.Accept(); err != nil { // it blocks until the proxy dials
		t.Fatal(err)
	}
	must(t, c.Close())
}

func TestCloseInEveryMode(t *testing.T) {
	for name, mode := range map[string]func(*Proxy) error{
		"pass": (*Proxy).Pass, "blackhole": (*Proxy).Blackhole, "cut": (*Proxy).Cut,
		"delay": func(p *Proxy) error { return p.Delay(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := started(t)
			c := dial(t, p)
			answers(t, c, "before")
			must(t, mode(p))
			_, _ = io.WriteString(c, "held") // a cut connection refuses it
			must(t, p.Close())
			if err := p.Pass(); err == nil {
				t.Error("a closed proxy passes")
			}
		})
	}
}

// Modes change while connections come and go; the race detector looks on.
func TestChangesUnderLoad(t *testing.T) {
	p, _ := started(t)
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for range 8 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.DialTimeout("tcp", p.Addr(), timeout)
				if err != nil {
					continue
				}
				_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
				_, _ = io.WriteString(c, "word")
				_, _ = io.ReadFull(c, make([]byte, 4))
				_ = c.Close()
			}
		})
	}
	for range 50 {
		must(t, p.Blackhole())
		must(t, p.Cut())
		must(t, p.Delay(time.Millisecond))
		must(t, p.Pass())
	}
	close(stop)
	clients.Wait()
	answers(t, dial(t, p), "still there")
}
