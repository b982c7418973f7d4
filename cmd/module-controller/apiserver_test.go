package main

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// call is a request that an API server got.
type call struct{ from, proto, what, content, accept, token string }

// apiServer refuses everything and keeps what it was asked. Config leads to it.
type apiServer struct {
	*testing.T
	config *config
	close  func()
	any    chan struct{} // has one once it was asked something

	mu    sync.Mutex
	calls []call // mu guards it
}

func newAPIServer(t *testing.T) *apiServer {
	t.Helper()
	a := &apiServer{T: t, any: make(chan struct{}, 1)}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls = append(a.calls, call{r.RemoteAddr, r.Proto, r.Method + " " + r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Accept"), r.Header.Get("Authorization")})
		w.WriteHeader(http.StatusForbidden)
		select {
		case a.any <- struct{}{}:
		default:
		}
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients may leave in a handshake
	server.StartTLS()
	a.close = server.Close
	t.Cleanup(server.Close)
	c := clientcmdapi.NewConfig()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: ca}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "secret"}
	c.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	c.CurrentContext = "x"
	a.config = &config{kubeconfig: filepath.Join(t.TempDir(), "kubeconfig"), qps: 1000, burst: 1000}
	if err := clientcmd.WriteToFile(*c, a.config.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return a
}

// clients are those of a session, before a gate.
func (a *apiServer) clients(gate writeGate) *clients {
	a.Helper()
	c, err := newClients(a.config, gate, zap.NewNop())
	if err != nil {
		a.Fatal(err)
	}
	return c
}

// asked gives what was asked since the last time.
func (a *apiServer) asked() (calls []call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls, a.calls = a.calls, nil
	return calls
}

// createLease tries to, which the server refuses.
func createLease(ctx context.Context, c kubernetes.Interface) error {
	_, err := c.CoordinationV1().Leases("n").Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "l"}}, metav1.CreateOptions{})
	return err
}
