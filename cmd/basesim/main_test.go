package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"module-controller/tunnel/basetest"
)

const patience = 20 * time.Second

// asProgram makes the test's binary be the program.
const asProgram = "BASESIM_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// sim is a running program.
type sim struct {
	*testing.T
	control string
	clients chan string // the lines that it wrote about clients; as many as fit
}

// start runs the program until the test ends.
func start(t *testing.T, args ...string) *sim {
	t.Helper()
	o, err := parse(append([]string{"--control", "127.0.0.1:0"}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, o, w)
		_ = w.Close() // it never fails
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return hear(t, r)
}

// hear reads what the program writes until it ends, and returns when it told its
// control endpoint.
func hear(t *testing.T, r io.Reader) *sim {
	t.Helper()
	lines := bufio.NewScanner(r)
	s := &sim{T: t, clients: make(chan string, 100)}
	s.listen(lines, func(line string) (found bool) {
		s.control, found = strings.CutPrefix(line, "control endpoint on ")
		return found
	})
	if s.control == "" {
		t.Fatalf("no control endpoint was printed: %v", lines.Err())
	}
	go s.listen(lines, func(string) bool { return false })
	return s
}

// listen takes what is written until the last line or the program's end: until it is
// read it holds the program up.
func (s *sim) listen(lines *bufio.Scanner, last func(line string) bool) {
	for lines.Scan() {
		if strings.Contains(lines.Text(), " client ") {
			select {
			case s.clients <- lines.Text():
			default:
			}
		}
		if last(lines.Text()) {
			return
		}
	}
}

func (s *sim) get(path string, into any) {
	s.Helper()
	resp, err := http.Get(s.control + path)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil || resp.StatusCode != http.StatusOK {
		s.Fatalf("GET %s: %s, %v", path, resp.Status, err)
	}
}

func (s *sim) post(path, body string) int {
	s.Helper()
	resp, err := http.Post(s.control+path, "application/json", strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (s *sim) base(id string) (r basetest.Report) {
	s.Helper()
	s.get("/bases/"+id, &r)
	return r
}

const orders = `{"bizName":"orders","bizVersion":"1.0.0","bizUrl":"file:///orders-1.0.0-ark-biz.jar"}`

func TestControlShowsAndBreaksBases(t *testing.T) {
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "3")
	if code := s.post("/bases/base-0002/install", orders); code != http.StatusOK {
		t.Fatalf("install: status %d", code)
	}
	b := s.base("base-0002")
	if len(b.Modules) != 1 || b.Modules[0].State != "activated" || b.Installs["orders:1.0.0"] != 1 {
		t.Errorf("after an install: %+v", b)
	}
	var c counts
	if s.get("/counts", &c); c.Bases != 3 || c.Installs != 1 || c.Serving != 1 {
		t.Errorf("counts %+v", c)
	}
	s.post("/bases/base-0002/restart", "")
	b = s.base("base-0002")
	if len(b.Modules) != 0 || b.Process != 2 || b.Installs["orders:1.0.0"] != 1 {
		t.Errorf("after a restart: %+v", b)
	}
	served := []string{}
	for _, moment := range b.Serving {
		served = append(served, strings.Join(moment.Modules, " "))
	}
	if !slices.Equal(served, []string{"", "orders:1.0.0", ""}) {
		t.Errorf("history %q", served)
	}
	s.post("/bases/*/fail-installs?n=1", "java.lang.IllegalStateException: no stock today")
	s.post("/bases/base-0003/install", orders)
	if b := s.base("base-0003"); len(b.Modules) != 0 || b.Failures["orders:1.0.0"] != 1 {
		t.Errorf("after a failure: %+v", b)
	}
}

func TestJarsDecide(t *testing.T) {
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "1")
	if code := s.post("/jars", `{"url":"file:///orders-1.0.0-ark-biz.jar","name":"stock","version":"7"}`); code != http.StatusOK {
		t.Fatalf("status %d", code)
	}
	s.post("/bases/base-0001/install", orders)
	if b := s.base("base-0001"); len(b.Modules) != 1 || b.Modules[0].Name != "stock" || b.Modules[0].Version != "7" {
		t.Errorf("modules %+v", b.Modules)
	}
}

// With users each base connects for itself.
func TestBasesProveWhoTheyAre(t *testing.T) {
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("base-0001:one\nbase-0002:two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "3", "--mqtt-users", users)
	known := map[string]bool{}
	for deadline := time.After(patience); !known["base-0001"] || !known["base-0002"]; {
		select {
		case line := <-s.clients:
			if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "client" {
				for _, base := range []string{"base-0001", "base-0002"} {
					known[base] = known[base] || strings.HasPrefix(fields[2], "sim@@@"+base+"-")
				}
			}
		case <-deadline:
			t.Fatalf("let in are %v", known)
		}
	}
}

func TestControlRefuses(t *testing.T) {
	s := start(t, "--broker", "127.0.0.1:0", "--bases", "1")
	for path, want := range map[string]int{
		"/bases/nobody/restart":              http.StatusNotFound,
		"/bases/base-0001/nonsense":          http.StatusNotFound,
		"/bases/base-0001/slow":              http.StatusBadRequest,
		"/bases/base-0001/slow?d=x":          http.StatusBadRequest,
		"/bases/base-0001/lose-answers?n=-1": http.StatusBadRequest,
		"/bases/base-0001/install":           http.StatusBadRequest,
		"/jars":                              http.StatusBadRequest,
		"/broker/nonsense":                   http.StatusNotFound,
		"/broker/start":                      http.StatusConflict, // it runs
	} {
		if got := s.post(path, "no json"); got != want {
			t.Errorf("POST %s: status %d, want %d", path, got, want)
		}
	}
}

func TestHTTPBasesAnnounceThemselves(t *testing.T) {
	heard := make(chan string, 100)
	controller := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- r.URL.Path + string(body)
	}))
	defer controller.Close()
	start(t, "--bases", "1", "--heartbeat-endpoint", controller.URL, "--name", "shop")
	select {
	case beat := <-heard:
		if !strings.HasPrefix(beat, "/heartbeat{") || !strings.Contains(beat, `"identity":"base-0001"`) || !strings.Contains(beat, `"name":"shop"`) {
			t.Errorf("heartbeat %s", beat)
		}
	case <-time.After(patience):
		t.Error("no heartbeat")
	}
}

// Of a mixed fleet every second base speaks HTTP, and the others reach the broker,
// which says who they are.
func TestAFleetMaySpeakBoth(t *testing.T) {
	heard := make(chan string, 100)
	controller := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		heard <- string(body)
	}))
	defer controller.Close()
	broker := start(t, "--broker", "127.0.0.1:0", "--bases", "0")
	var at struct{ Address string }
	broker.get("/broker", &at)
	start(t, "--bases", "2", "--mqtt", at.Address, "--heartbeat-endpoint", controller.URL)
	select {
	case beat := <-heard:
		if !strings.Contains(beat, `"identity":"base-0002"`) {
			t.Errorf("heartbeat %s", beat)
		}
	case <-time.After(patience):
		t.Error("no heartbeat")
	}
	select {
	case line := <-broker.clients:
		if !connection.MatchString(line) {
			t.Errorf("the broker said %q", line)
		}
	case <-time.After(patience):
		t.Error("nobody connected to the broker")
	}
}

// connection is a line that tells of a client: when it came, and its id.
var connection = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ client \S+ connected$`)

func TestOptionsAreChecked(t *testing.T) {
	for _, args := range []string{"", "--bases -1 --mqtt x", "--bases 0", "--mqtt a --metaspace x", "--nonsense"} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	if _, err := parse([]string{"--broker", "127.0.0.1:0", "--mqtt-users", filepath.Join(t.TempDir(), "none")}, io.Discard); err == nil {
		t.Error("users that cannot be read were taken")
	}
	o, err := parse(strings.Fields("--mqtt a --runtime 9"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), o, io.Discard); err == nil {
		t.Error("runtime 9 was taken")
	}
}

// The program ends by itself, and well, when it is told to.
func TestTermEndsTheProgram(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "--control", "127.0.0.1:0", "--broker", "127.0.0.1:0", "--bases", "5")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hear(t, out)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	stuck := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer stuck.Stop()
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// The program links no test code, by whatever package it would come.
func TestNoTestCodeIsLinked(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(strings.Fields(string(out)), "testing") {
		t.Error("basesim links package testing")
	}
}
