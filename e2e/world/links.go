package world

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"module-controller/e2e/proxy"
)

// Links are the proxies between one replica and the servers that it speaks to.
type Links struct {
	API, Broker *proxy.Proxy

	apiHost string // behind API
}

// newLinks starts proxies for one replica more.
func (w *World) newLinks() *Links {
	w.Helper()
	api, err := url.Parse(w.cluster.Plane.Config().Host)
	w.Must(err)
	l := &Links{API: w.StartProxy(api.Host), Broker: w.StartProxy(w.BrokerAddress()), apiHost: api.Host}
	w.Links = append(w.Links, l)
	return l
}

// kubeconfig writes a kubeconfig that leads through the proxy.
func (l *Links) kubeconfig(direct, path string) (string, error) {
	text, err := os.ReadFile(direct)
	if err != nil {
		return "", err
	}
	through := strings.ReplaceAll(string(text), l.apiHost, l.API.Addr())
	if through == string(text) {
		return "", fmt.Errorf("kubeconfig %s does not name %s", direct, l.apiHost)
	}
	return path, os.WriteFile(path, []byte(through), 0o600)
}
