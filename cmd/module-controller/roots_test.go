package main

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rootsVariable has TestRoots, in a process of its own, say which roots there are.
const rootsVariable = "MODULE_CONTROLLER_TEST_ROOTS"

// sayRoots says whether the process has no roots, those of a file alone, or others.
func sayRoots(t *testing.T, file string) string {
	t.Helper()
	got, err := x509.SystemCertPool()
	if err != nil {
		t.Fatal(err)
	}
	content, _ := os.ReadFile(file)
	filed := x509.NewCertPool()
	has := filed.AppendCertsFromPEM(content)
	switch {
	case got.Equal(x509.NewCertPool()):
		return "roots: none"
	case has && got.Equal(filed):
		return "roots: the file's"
	default:
		return "roots: others"
	}
}

// Without roots of the system, as in an image without files, there are the program's own;
// those of the system win.
func TestRoots(t *testing.T) {
	if file := os.Getenv(rootsVariable); file != "" {
		t.Log(sayRoots(t, file))
		return
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	file := filepath.Join(t.TempDir(), "roots.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{file: "roots: the file's", filepath.Join(t.TempDir(), "none"): "roots: others"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRoots$", "-test.v")
		cmd.Env = []string{rootsVariable + "=" + path, "SSL_CERT_FILE=" + path, "SSL_CERT_DIR=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("with roots in %s: %v, want %q in\n%s", path, err, want, out)
		}
	}
}
