package basetest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// listening makes a base with an address of its own, and a jar for each version of a
// module a, which listen at one port.
func listening(t *testing.T, ip string, shared bool) (*Base, int) {
	t.Helper()
	b := mustNew(t, Options{IP: ip})
	t.Cleanup(b.closePorts)
	port := freePort(t, ip)
	for _, v := range []string{"1", "2"} {
		c := jarOf("a", v)
		b.Jars().Add(Jar{URL: c.URL, Name: "a", Version: v, Port: port, Listens: true, Shared: shared})
	}
	b.Jars().Add(Jar{URL: jarOf("b", "1").URL, Name: "b", Version: "1", Port: port, Listens: true, Shared: shared})
	return b, port
}

func freePort(t *testing.T, ip string) int {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// get gives the status and the body of an answer, or zero and why there is none.
func get(t *testing.T, ip string, port int, path string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, strconv.Itoa(port))+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, "no answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		return 0, "refused"
	case err != nil:
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(body))
}

func wantAnswer(t *testing.T, ip string, port int, path string, code int, body string) {
	t.Helper()
	if gotCode, gotBody := get(t, ip, port, path); gotCode != code || gotBody != body {
		t.Errorf("%s: %d %q, want %d %q", path, gotCode, gotBody, code, body)
	}
}

// A module's port is open from the end of its start until it is gone, at the address of
// its base alone.
func TestModulesListenWhileTheyAreThere(t *testing.T) {
	const ip = "127.77.0.1"
	b, port := listening(t, ip, false)
	gone := map[string]func(){
		"uninstalled": func() { b.Uninstall(t.Context(), jarOf("a", "1")) },
		"replaced":    func() { b.Install(t.Context(), replacing(Command{Name: "a", Version: "3", URL: "file:///none.jar"})) },
		"restarted":   b.Restart,
		"stopped":     b.Stop,
	}
	for what, end := range gone {
		b.Restart()
		wantAnswer(t, ip, port, "/", 0, "refused")
		b.Install(t.Context(), jarOf("a", "1"))
		wantAnswer(t, ip, port, "/any", http.StatusOK, "a:1")
		wantAnswer(t, "127.77.0.2", port, "/", 0, "refused")
		end()
		if code, body := get(t, ip, port, "/"); body != "refused" {
			t.Errorf("%s: %d %q", what, code, body)
		}
	}
	if n := b.Look().Requests["a:1"]; n != len(gone) {
		t.Errorf("counted %d requests", n)
	}
}

// What is under way at a port when its module goes is lost.
func TestAnUninstallCutsRequestsOff(t *testing.T) {
	const ip = "127.77.0.1"
	b, port := listening(t, ip, false)
	b.Install(t.Context(), jarOf("a", "1"))
	b.Set(func(f *Faults) { f.HangRequests = true })
	conn, err := net.Dial("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b.Uninstall(t.Context(), jarOf("a", "1"))
	if answer, _ := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("answered %q", answer)
	}
}

// A second module with the port cannot start, be it on this base or outside.
func TestAPortIsOpenedOnce(t *testing.T) {
	const ip = "127.77.0.3"
	b, port := listening(t, ip, false)
	b.Install(t.Context(), jarOf("a", "1"))
	b.Install(t.Context(), jarOf("a", "2"))
	if s := states(b); len(s) != 1 || s["a:1"] != activated {
		t.Errorf("modules %v", s)
	}
	b.Restart()
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := b.running().do(t.Context(), installBiz, jarOf("a", "1"))
	if r.thrown == nil || !strings.Contains(r.thrown.trace(), "Port "+strconv.Itoa(port)+" is already in use") {
		t.Errorf("beside a stranger: %+v", r)
	}
}

// Modules that share the base's own server answer while they are activated, each at the
// paths that begin with its name.
func TestSharedPortsAreOfWhatServes(t *testing.T) {
	const ip = "127.77.0.4"
	b, port := listening(t, ip, true)
	for _, v := range []string{"1", "2"} {
		b.Install(t.Context(), jarOf("a", v))
	}
	b.Install(t.Context(), jarOf("b", "1"))
	wantAnswer(t, ip, port, "/", http.StatusOK, "a:1")
	wantAnswer(t, ip, port, "/b/x", http.StatusOK, "b:1")
	b.Switch(t.Context(), jarOf("a", "2"))
	wantAnswer(t, ip, port, "/a", http.StatusOK, "a:2")
	b.Uninstall(t.Context(), jarOf("b", "1"))
	b.Uninstall(t.Context(), jarOf("a", "2"))
	wantAnswer(t, ip, port, "/", http.StatusNotFound, "no module serves here") // a:1 is deactivated
}

func TestHealthOfAModule(t *testing.T) {
	const ip = "127.77.0.5"
	b, port := listening(t, ip, true)
	b.Install(t.Context(), jarOf("a", "1"))
	b.Install(t.Context(), jarOf("b", "1"))
	wantAnswer(t, ip, port, "/health", http.StatusOK, "a:1")
	b.Set(func(f *Faults) { f.Unhealthy = []string{"a"} })
	wantAnswer(t, ip, port, "/a/health", http.StatusInternalServerError, "a:1 is not well")
	wantAnswer(t, ip, port, "/a", http.StatusOK, "a:1")
	wantAnswer(t, ip, port, "/b/health", http.StatusOK, "b:1")
	b.Set(func(f *Faults) { f.Unhealthy = []string{"*"} })
	wantAnswer(t, ip, port, "/b/health", http.StatusInternalServerError, "b:1 is not well")
	for _, fault := range []func(*Faults){func(f *Faults) { f.HangRequests = true }, func(f *Faults) { f.Silent = true }} {
		b.Resume()
		wantAnswer(t, ip, port, "/health", http.StatusOK, "a:1")
		b.Set(fault)
		wantAnswer(t, ip, port, "/", 0, "no answer")
	}
}

// The fleet that plays a base leaves no port open.
func TestFleetsClosePorts(t *testing.T) {
	const ip = "127.77.0.6"
	b, port := listening(t, ip, false)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- (&HTTPFleet{Endpoints: []string{"http://127.0.0.1:9"}, Bases: []*Base{b}}).Run(ctx) }()
	b.Install(t.Context(), jarOf("a", "1"))
	wantAnswer(t, ip, port, "/", http.StatusOK, "a:1")
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	wantAnswer(t, ip, port, "/", 0, "refused")
}
