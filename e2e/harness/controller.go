package harness

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"module-controller/e2e/process"
)

// Controller is the product's daemon and how it was started, so that it can be
// started again as it was.
type Controller struct {
	*process.Process
	binary          string
	env             []string
	log             string
	health, metrics int
	peers           int // where members forward heartbeats to it
}

// PodPorts move the ports of the manifests' pods to free ones, where an agent runs several
// pods on one machine: see agent.Options.
var PodPorts = map[string]string{
	"metrics":   "METRICS_BIND_ADDRESS=127.0.0.1:%d",
	"health":    "HEALTH_PROBE_BIND_ADDRESS=127.0.0.1:%d",
	"heartbeat": "HTTP_TUNNEL_LISTEN_PORT=%d",
	"peers":     "PEER_LISTEN_PORT=%d",
}

// ControllerOptions say how a controller runs.
type ControllerOptions struct {
	Binary, Kubeconfig string
	// Log is the file that gets its output.
	Log string
	// PodName is the replica's name.
	PodName string
	// Env is more environment, "NAME=value".
	Env []string
}

// StartController starts a controller and returns when it is ready.
func StartController(ctx context.Context, o ControllerOptions) (*Controller, error) {
	c := &Controller{binary: o.Binary, log: o.Log}
	for _, port := range []*int{&c.health, &c.metrics, &c.peers} {
		var err error
		if *port, err = process.FreePort(); err != nil {
			return nil, err
		}
	}
	c.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"KUBECONFIG=" + o.Kubeconfig, "POD_NAME=" + o.PodName, "POD_NAMESPACE=" + Namespace,
		"POD_UID=" + string(uuid.NewUUID()), "POD_IP=127.0.0.1",
		"HEALTH_PROBE_BIND_ADDRESS=127.0.0.1:" + strconv.Itoa(c.health),
		"METRICS_BIND_ADDRESS=127.0.0.1:" + strconv.Itoa(c.metrics),
		"PEER_LISTEN_PORT=" + strconv.Itoa(c.peers),
	}, o.Env...)
	return c, c.Start(ctx)
}

// Setting gives an environment variable that the controller runs with; empty for none.
func (c *Controller) Setting(name string) string {
	for _, v := range slices.Backward(c.env) { // the last one counts
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// Start starts the controller again, after it was killed or stopped.
func (c *Controller) Start(ctx context.Context) error {
	cmd := exec.Command(c.binary)
	cmd.Env = c.env
	var err error
	if c.Process, err = process.Start(cmd, c.log); err != nil {
		return err
	}
	return Until(ctx, func() error {
		if c.Ended() {
			return Final(fmt.Errorf("controller ended: %w; its log is %s", c.Err(), c.log))
		}
		return Healthy(ctx, local(c.health, "/readyz"))
	})
}

func local(port int, path string) string { return "http://127.0.0.1:" + strconv.Itoa(port) + path }

func (c *Controller) get(port int, path string) (string, error) {
	return get(context.Background(), local(port, path))
}

// Healthy gives an error unless what is at a URL answers with 200 within 5 s.
func Healthy(ctx context.Context, url string) error {
	_, err := get(ctx, url)
	return err
}

// get gives what is answered with 200 within 5 s.
func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
	}
	return string(body), nil
}

// Health asks a path of the health server, such as /livez.
func (c *Controller) Health(path string) (string, error) { return c.get(c.health, path) }

// Metric gives the sum of a metric's samples whose line contains all of labels.
func (c *Controller) Metric(name string, labels ...string) (float64, error) {
	text, err := c.get(c.metrics, "/metrics")
	if err != nil {
		return 0, err
	}
	var sum float64
	found := false
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") || !containsAll(line, labels) {
			continue
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read metric %s: %w", name, err)
		}
		sum, found = sum+value, true
	}
	if !found && len(labels) == 0 {
		return 0, fmt.Errorf("metric %s is not there", name)
	}
	return sum, nil
}

func containsAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}

// APIWarnings gives the lines of the controller's log that tell of warnings of the API server.
// None is expected.
func (c *Controller) APIWarnings() ([]string, error) { return linesWith(c.log, `"API server warns"`) }

// ErrorLines gives the lines of the controller's log at level error or above.
func (c *Controller) ErrorLines() ([]string, error) { return ErrorLines(c.log) }

// ErrorLines gives the lines of a controller's log at level error or above.
func ErrorLines(log string) ([]string, error) {
	return linesWith(log, `"level":"error"`, `"level":"fatal"`, `"level":"dpanic"`, `"level":"panic"`, "panic:", "DATA RACE")
}

// linesWith gives the lines of a file that have one of some parts.
func linesWith(file string, parts ...string) (lines []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if containsAny(line, parts...) {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func containsAny(line string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(line, p) {
			return true
		}
	}
	return false
}
