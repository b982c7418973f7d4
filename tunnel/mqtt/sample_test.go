//go:build mosquitto

package mqtttunnel

import (
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"module-controller/tunnel/basetest"
)

const samples = "../../manifests/broker"

// sample is a Mosquitto with our sample configuration: its listener for bases, and another one
// for replicas.
type sample struct {
	*basetest.Mosquitto
	known
	dir, controller string
}

// startSample starts one until the test ends, for the controller and some bases.
func startSample(t *testing.T, bases ...string) *sample {
	t.Helper()
	dir := t.TempDir()
	m, installed := basetest.NewMosquitto(dir)
	if !installed {
		t.Fatal("there is no mosquitto, whose ACLs are tested here: install it")
	}
	s, address := &sample{Mosquitto: m, dir: dir, controller: freeAddress(t)}, freeAddress(t)
	text := read(t, "mosquitto.conf")
	for old, address := range map[string]string{"listener 1883\n": address, "listener 1884\n": s.controller} {
		_, port, err := net.SplitHostPort(address)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, old) {
			t.Fatalf("the sample has no %q", old)
		}
		text = strings.Replace(text, old, "listener "+port+" 127.0.0.1\n", 1)
	}
	text = strings.ReplaceAll(text, "/mosquitto/config", dir) + "user root\n" // who else may not read dir
	put(t, filepath.Join(dir, "mosquitto.acl"), []byte(read(t, "mosquitto.acl")))
	if _, err := s.admit(append(bases, basetest.ControllerUser)...); err != nil {
		t.Fatal(err)
	}
	m.Configure(address, text)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *sample) forReplicas() string { return s.controller }

// longest is the sample's max_packet_size, of which the topic is a part.
func (s *sample) longest() int { return 1<<20 - 1<<10 }

// admit writes the sample's files of passwords, and has them read where it runs.
func (s *sample) admit(names ...string) (basetest.Users, error) {
	users := s.add(names)
	var bases, controller strings.Builder
	for name, password := range users {
		to := &bases
		if name == basetest.ControllerUser {
			to = &controller
		}
		to.WriteString(hashed(name, password))
	}
	err1 := os.WriteFile(filepath.Join(s.dir, "bases.passwords"), []byte(bases.String()), 0o600)
	err2 := os.WriteFile(filepath.Join(s.dir, "controller.passwords"), []byte(controller.String()), 0o600)
	return users, errors.Join(err1, err2, s.Reload())
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := basetest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// hashed is a line of Mosquitto's file of passwords.
func hashed(user, password string) string {
	salt := []byte("twelve bytes")
	sum := sha512.Sum512(append([]byte(password), salt...))
	return fmt.Sprintf("%s:$6$%s$%s\n", user, base64.StdEncoding.EncodeToString(salt), base64.StdEncoding.EncodeToString(sum[:]))
}
