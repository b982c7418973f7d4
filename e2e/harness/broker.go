package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"module-controller/e2e/process"
)

// The kinds of broker. Embedded is the one in basesim.
const (
	Embedded  = "embedded"
	Mosquitto = "mosquitto"
)

// ControllerUser is the name by which replicas prove themselves to a broker of basesim that
// was given users.
const ControllerUser = "module-controller"

// Brokers are the kinds of broker that there are on this machine.
func Brokers() []string {
	kinds := []string{Embedded}
	if _, err := mosquitto(); err == nil {
		kinds = append(kinds, Mosquitto)
	}
	return kinds
}

// mosquitto finds the program, which is installed where not everybody's PATH leads.
func mosquitto() (string, error) {
	path, err := exec.LookPath("mosquitto")
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/mosquitto")
	}
	return path, err
}

// sampleLimits gives the limits of the sample configuration that the product comes with,
// as lines of a configuration.
func sampleLimits() (string, error) {
	const sample = "broker/mosquitto.conf"
	text, err := os.ReadFile(Manifest(sample))
	if err != nil {
		return "", fmt.Errorf("read the sample configuration: %w", err)
	}
	limits, found := "", map[string]bool{}
	for line := range strings.Lines(string(text)) {
		switch name, _, _ := strings.Cut(line, " "); name {
		case "message_size_limit", "max_packet_size", "max_inflight_messages", "max_queued_messages":
			limits, found[name] = limits+line, true
		}
	}
	if len(found) != 4 {
		return "", fmt.Errorf("read the sample configuration: of the limits %s has %q only", sample, limits)
	}
	return limits, nil
}

// StartBroker starts a broker on a port of 127.0.0.1 and returns when it takes
// connections. sim is the path of basesim; dir gets the log and the configuration. args are
// more arguments of the embedded one.
func StartBroker(ctx context.Context, kind, sim string, port int, dir string, args ...string) (*process.Process, error) {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	log := filepath.Join(dir, "broker.log")
	if kind == Embedded {
		s, err := StartSim(ctx, sim, log, append([]string{"--bases", "0", "--broker", address}, args...)...)
		if err != nil {
			return nil, err
		}
		return s.Process, nil
	}
	path, err := mosquitto()
	if err != nil {
		return nil, fmt.Errorf("find mosquitto: %w", err)
	}
	config := filepath.Join(dir, "mosquitto.conf")
	limits, err := sampleLimits()
	if err != nil {
		return nil, err
	}
	text := fmt.Sprintf("%slistener %d 127.0.0.1\nallow_anonymous true\npersistence false\n", limits, port)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configure mosquitto: %w", err)
	}
	p, err := process.Start(exec.Command(path, "-c", config), log)
	if err != nil {
		return nil, err
	}
	return p, Until(ctx, func() error {
		if p.Ended() {
			return Final(fmt.Errorf("mosquitto ended: %w; its log is %s", p.Err(), log))
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
