package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"module-controller/e2e/process"
)

// Sim is a fleet of simulated bases, or a broker, or both, in one process.
type Sim struct {
	*process.Process
	control string
}

// StartSim starts basesim with args and returns when its control endpoint answers.
func StartSim(ctx context.Context, binary, log string, args ...string) (*Sim, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	s := &Sim{control: "http://127.0.0.1:" + strconv.Itoa(port)}
	cmd := exec.Command(binary, append([]string{"--control", "127.0.0.1:" + strconv.Itoa(port)}, args...)...)
	if s.Process, err = process.Start(cmd, log); err != nil {
		return nil, err
	}
	return s, Until(ctx, func() error {
		if s.Ended() {
			return Final(fmt.Errorf("basesim ended: %w; its log is %s", s.Err(), log))
		}
		return s.call(http.MethodGet, "/counts", nil, nil)
	})
}

// Counts are what all bases of a fleet did, over all their restarts.
type Counts struct {
	Bases    int `json:"bases"`
	Installs int `json:"installs"`
	// Uninstalls counts those that took effect, as Installs does.
	Uninstalls int `json:"uninstalls"`
	// Questions counts what changes nothing: lists and health.
	Questions int `json:"questions"`
}

// Counts asks what the fleet did.
func (s *Sim) Counts() (c Counts, err error) {
	return c, s.call(http.MethodGet, "/counts", nil, &c)
}

// SimBase is what a simulated base says of itself.
type SimBase struct {
	Identity string      `json:"identity"`
	Port     int         `json:"port"` // of its HTTP server
	Modules  []SimModule `json:"modules"`
	// Installs and Uninstalls count what took effect, by name:version.
	Installs   map[string]int `json:"installs"`
	Uninstalls map[string]int `json:"uninstalls"`
	Commands   []SimCommand   `json:"commands"`
	// Forgotten is how many entries of Commands and Serving were too many to keep.
	Forgotten int `json:"forgotten"`
	// Serving is what served from each moment on, the oldest first.
	Serving []struct {
		At      time.Time `json:"at"`
		Modules []string  `json:"modules"`
	} `json:"serving"`
}

// SimCommand is one command that a simulated base got.
type SimCommand struct {
	At      time.Time `json:"at"`
	Command string    `json:"command"`
	Module  string    `json:"module"` // name:version
	Request string    `json:"requestId"`
	// Args and Env came with it.
	Args []string          `json:"args"`
	Env  map[string]string `json:"env"`
}

// SimModule is one module of a simulated base, as it truly is.
type SimModule struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
}

// Base asks one base.
func (s *Sim) Base(id string) (b SimBase, err error) {
	return b, s.call(http.MethodGet, "/bases/"+url.PathEscape(id), nil, &b)
}

// Serving gives the modules that serve on a base, "name:version".
func (s *Sim) Serving(id string) ([]string, error) {
	b, err := s.Base(id)
	var serving []string
	for _, m := range b.Modules {
		if strings.EqualFold(m.State, "activated") {
			serving = append(serving, m.Name+":"+m.Version)
		}
	}
	return serving, err
}

// Do has something happen to a base: "restart", "silence", "slow?d=5s", …
func (s *Sim) Do(id, what string) error {
	return s.call(http.MethodPost, "/bases/"+url.PathEscape(id)+"/"+what, nil, nil)
}

// Post sends a body to a path of the control endpoint.
func (s *Sim) Post(path string, body any) error { return s.call(http.MethodPost, path, body, nil) }

func (s *Sim) call(method, path string, in, out any) error {
	body, ok := in.([]byte) // as it is
	if !ok {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequest(method, s.control+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}
