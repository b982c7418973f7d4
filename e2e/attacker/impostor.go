package attacker

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// Impostor answers as a base of newer runtimes does whose list has no module, and keeps
// all that it is sent.
type Impostor struct {
	server *httptest.Server

	mu sync.Mutex
	// mu guards what follows
	heard []string
}

// StartImpostor listens at an address. Who gets an Impostor must close it.
func StartImpostor(ip string) (*Impostor, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return nil, err
	}
	i := &Impostor{}
	i.server = httptest.NewUnstartedServer(http.HandlerFunc(i.serve))
	_ = i.server.Listener.Close()
	i.server.Listener = l
	i.server.Start()
	return i, nil
}

func (i *Impostor) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	i.mu.Lock()
	i.heard = append(i.heard, r.URL.Path+" "+string(body))
	i.mu.Unlock()
	data := "{}"
	switch r.URL.Path {
	case "/help":
		data = `[{"id":"installBiz"},{"id":"uninstallBiz"},{"id":"switchBiz"},{"id":"queryBizOps"}]`
	case "/health":
		data = `{"healthData":{"jvm":{"java max metaspace":1125899906842624,"java used metaspace":1,"run time(s)":100},"cpu":{"count":65535}}}`
	case "/queryAllBiz":
		data = "[]"
	}
	_, _ = io.WriteString(w, `{"code":"SUCCESS","data":`+data+`}`)
}

// Port is where it listens.
func (i *Impostor) Port() int { return i.server.Listener.Addr().(*net.TCPAddr).Port }

// Heard gives what it was sent: path and body.
func (i *Impostor) Heard() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.heard...)
}

// Close ends it.
func (i *Impostor) Close() { i.server.Close() }
