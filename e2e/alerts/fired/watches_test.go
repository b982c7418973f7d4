package fired

import (
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"module-controller/e2e/world"
)

// watches is a reverse proxy before the API server that can hold back what watches show, and
// nothing else, as some load balancers do with streams.
type watches struct {
	server *httptest.Server

	mu      sync.Mutex
	flowing chan struct{} // closed while they show what there is; mu guards it
}

// startWatches starts the proxy. It ends with the World.
func startWatches(w *world.World) *watches {
	w.Helper()
	target, err := url.Parse(cluster.Plane.Config().Host)
	w.Must(err)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(cluster.Plane.Config()))
	w.Must(err)
	p := &watches{flowing: make(chan struct{})}
	p.release()
	p.server = httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: transport, FlushInterval: -1, ModifyResponse: p.gate,
	})
	w.Cleanup(func() {
		p.release()
		p.server.CloseClientConnections()
		p.server.Close()
	})
	return p
}

// kubeconfig writes a kubeconfig of the World's replicas that leads through the proxy.
func (p *watches) kubeconfig(w *world.World) string {
	w.Helper()
	direct, err := cluster.Plane.KubeconfigFor(w.Context(), w.Role(), w.Role())
	w.Must(err)
	config, err := clientcmd.LoadFromFile(direct)
	w.Must(err)
	// Without TLS no token is sent.
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	for _, c := range config.Clusters {
		c.Server, c.CertificateAuthorityData = p.server.URL, authority
	}
	path := filepath.Join(w.Dir, "watches.kubeconfig")
	w.Must(clientcmd.WriteToFile(*config, path))
	return path
}

// hold has watches show nothing from now on, new ones neither.
func (p *watches) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flowing = make(chan struct{})
}

// release has them show all that was held back.
func (p *watches) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.flowing:
	default:
		close(p.flowing)
	}
}

// gate has the answer to a watch wait while watches are held.
func (p *watches) gate(r *http.Response) error {
	if q := r.Request.URL.Query(); q.Get("watch") == "true" || q.Get("watch") == "1" {
		r.Body = &gated{ReadCloser: r.Body, watches: p, ended: r.Request.Context().Done()}
	}
	return nil
}

// gated is the answer to a watch.
type gated struct {
	io.ReadCloser
	*watches
	ended <-chan struct{} // closed when the watch has ended
}

// Read gives what was shown, once it may be.
func (g *gated) Read(b []byte) (int, error) {
	n, err := g.ReadCloser.Read(b)
	g.mu.Lock()
	flowing := g.flowing
	g.mu.Unlock()
	select {
	case <-flowing:
		return n, err
	case <-g.ended:
		return 0, context.Canceled
	}
}
