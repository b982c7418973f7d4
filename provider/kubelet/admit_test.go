package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"module-controller/internal/connlimit"
	"module-controller/tunnel"
)

// tokenOf is a token of a user, in the form that tokens have.
func tokenOf(name string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"`+name+`"}`)) + ".c2ln"
}

// requestOf is a request at a port.
func requestOf(port int, method, path, token string, certs ...*x509.Certificate) *http.Request {
	r := httptest.NewRequest(method, path, nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{Port: port}))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.TLS = &tls.ConnectionState{PeerCertificates: certs}
	return r
}

// request asks a Server at a port.
func request(s http.Handler, port int, method, path, token string, certs ...*x509.Certificate) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, requestOf(port, method, path, token, certs...))
	return w
}

// Who may ask for what is decided by the API server's rules, by the parts of a Node that a
// kubelet has them by.
func TestWhoMayAskForWhat(t *testing.T) {
	w := newWorld(t)
	w.bases.answers[tunnel.ListModules] = tunnel.Report{Listed: true}
	const logs, exec = "/containerLogs/orders/stock/stock", "/exec/orders/stock/stock?command=modules&output=1"
	paths := map[string]string{
		"/pods": http.MethodGet, "/runningpods/": http.MethodGet, "/stats/summary": http.MethodGet, "/metrics/resource": http.MethodGet,
		logs: http.MethodGet, exec: http.MethodPost, "/attach/orders/stock/stock": http.MethodPost, "/portForward/orders/stock": http.MethodPost, "/nonsense": http.MethodGet,
	}
	for name, c := range map[string]struct {
		may     []string
		permits []string
	}{
		"nobody":    {nil, nil},
		"stats":     {[]string{"get stats"}, []string{"/stats/summary"}},
		"metrics":   {[]string{"get metrics"}, []string{"/metrics/resource"}},
		"pods":      {[]string{"get pods"}, []string{"/pods", "/runningpods/"}},
		"getter":    {[]string{"get proxy"}, []string{"/pods", "/runningpods/", logs, "/nonsense"}},
		"creator":   {[]string{"create proxy"}, []string{exec, "/attach/orders/stock/stock", "/portForward/orders/stock"}},
		"scraper":   {[]string{"get stats", "get metrics"}, []string{"/stats/summary", "/metrics/resource"}},
		"elsewhere": {[]string{"get log", "get spec", "create pods"}, nil},
	} {
		w.users[name] = user{c.may}
		permitted := map[string]bool{}
		for _, path := range c.permits {
			permitted[path] = true
		}
		for path, method := range paths {
			if got := request(w, 10250, method, path, tokenOf(name)); (got.Code != http.StatusForbidden) != permitted[path] {
				t.Errorf("%s: %s %s: %d %s", name, method, path, got.Code, got.Body)
			}
		}
	}
	// A WebSocket is begun by a GET, and is a creation all the same.
	if got := request(w, 10250, http.MethodGet, exec, tokenOf("getter")); got.Code != http.StatusForbidden {
		t.Errorf("who may only get asks a base: %d", got.Code)
	}
}

// Nobody is anybody without a proof, and a port that no Node has answers nobody.
func TestWhoAsks(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	w := newWorld(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication"}, Data: map[string]string{"client-ca-file": string(ours.pem())}})
	w.users["apiserver"], w.users["known"] = user{[]string{"get proxy"}}, user{[]string{"get proxy"}}
	early := ours.client(t, x509.ExtKeyUsageClientAuth, "apiserver")
	if got := request(w, 10250, http.MethodGet, "/pods", "", early); got.Code != http.StatusUnauthorized {
		t.Errorf("before the authority is known: %d %s", got.Code, got.Body)
	}
	if err := w.clients.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		port  int
		token string
		cert  *x509.Certificate
		want  int
	}{
		"nobody":                        {10250, "", nil, http.StatusUnauthorized},
		"a token":                       {10250, tokenOf("known"), nil, http.StatusOK},
		"a token of nobody":             {10250, tokenOf("unknown"), nil, http.StatusUnauthorized},
		"no token at all":               {10250, "secret", nil, http.StatusUnauthorized},
		"a certificate":                 {10250, "", early, http.StatusOK},
		"of another authority":          {10250, "", theirs.client(t, x509.ExtKeyUsageClientAuth, "apiserver"), http.StatusUnauthorized},
		"of another authority, a token": {10250, tokenOf("known"), theirs.client(t, x509.ExtKeyUsageClientAuth, "apiserver"), http.StatusOK},
		"a server's certificate":        {10250, "", ours.client(t, x509.ExtKeyUsageServerAuth, "apiserver"), http.StatusUnauthorized},
		"without a name":                {10250, "", ours.client(t, x509.ExtKeyUsageClientAuth, ""), http.StatusUnauthorized},
		"a name without rights":         {10250, "", ours.client(t, x509.ExtKeyUsageClientAuth, "other"), http.StatusForbidden},
		"a port that no Node has":       {10251, tokenOf("known"), nil, http.StatusServiceUnavailable},
	} {
		var certs []*x509.Certificate
		if c.cert != nil {
			certs = append(certs, c.cert)
		}
		if got := request(w, c.port, http.MethodGet, "/pods", c.token, certs...); got.Code != c.want {
			t.Errorf("%s: %d %s, want %d", name, got.Code, got.Body, c.want)
		}
	}
}

// A certificate tells its user's groups, as an API server reads them.
func TestACertificateTellsGroups(t *testing.T) {
	ours := newAuthority(t)
	w := newWorld(t, runtime.Object(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication"}, Data: map[string]string{"client-ca-file": string(ours.pem())}}))
	if err := w.clients.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	user, err := w.userOfCertificate([]*x509.Certificate{ours.client(t, x509.ExtKeyUsageClientAuth, "apiserver", "masters")})
	if err != nil || user.Username != "apiserver" || len(user.Groups) != 2 || user.Groups[0] != "masters" || user.Groups[1] != "system:authenticated" {
		t.Errorf("it is %+v (%v)", user, err)
	}
}

// While half of the connections are open, those of tokens end with the answer, such as a
// scraper's at each port; while three quarters are, the API server's too.
func TestConnectionsAreNotKeptWhereTheyAreScarce(t *testing.T) {
	w, server := certifiedWorld(t)
	w.users["scraper"], w.users["apiserver"] = user{[]string{"get proxy"}}, user{[]string{"get proxy"}}
	open := 0
	for _, c := range []struct {
		open              int
		ofToken, ofServer string
	}{
		{0, "", ""},
		{maxConnections/2 - 1, "", ""},
		{maxConnections / 2, "close", ""},
		{maxConnections*3/4 - 1, "close", ""},
		{maxConnections * 3 / 4, "close", "close"},
	} {
		for ; open < c.open; open++ {
			w.enters(t, netip.AddrFrom4([4]byte{10, 1, byte(open >> 8), byte(open)}))
		}
		if got := request(w, 10250, http.MethodGet, "/pods", tokenOf("scraper")); got.Code != http.StatusOK || got.Header().Get("Connection") != c.ofToken {
			t.Errorf("with %d open a token's is %d, Connection: %q", c.open, got.Code, got.Header().Get("Connection"))
		}
		if got := request(w, 10250, http.MethodGet, "/pods", "", server); got.Code != http.StatusOK || got.Header().Get("Connection") != c.ofServer {
			t.Errorf("with %d open the API server's is %d, Connection: %q", c.open, got.Code, got.Header().Get("Connection"))
		}
	}
}

// certifiedWorld is a world, and the certificate by which the API server proves itself there.
func certifiedWorld(t *testing.T) (*world, *x509.Certificate) {
	t.Helper()
	ours := newAuthority(t)
	w := newWorld(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication"}, Data: map[string]string{"client-ca-file": string(ours.pem())}})
	if err := w.clients.read(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w, ours.client(t, x509.ExtKeyUsageClientAuth, "apiserver")
}

// The API server is no stranger while it is asked what somebody may: it comes for many people at
// once. Who has a token is one until then.
func TestWhoHasACertificateIsNoStrangerWhileHisRightsAreAsked(t *testing.T) {
	w, server := certifiedWorld(t)
	w.users["scraper"], w.users["apiserver"] = user{[]string{"get proxy"}}, user{[]string{"get proxy"}}
	from := netip.MustParseAddr("10.0.0.1")
	for name, c := range map[string]struct {
		token     string
		with      []*x509.Certificate
		strangers int
	}{
		"a certificate": {"", []*x509.Certificate{server}, 0},
		"a token":       {tokenOf("scraper"), nil, 1},
	} {
		its, seen := w.enters(t, from), -1
		w.asked = func() { seen = w.connections.Of(from) }
		r := requestOf(10250, http.MethodGet, "/pods", c.token, c.with...)
		answer := httptest.NewRecorder()
		w.ServeHTTP(answer, r.WithContext(connlimit.ConnContext(r.Context(), its)))
		if answer.Code != http.StatusOK || seen != c.strangers {
			t.Errorf("%s: %d, and %d strangers while it was asked, want %d", name, answer.Code, seen, c.strangers)
		}
		if open, strangers := w.connections.Open(), w.connections.Of(from); open != 1 || strangers != 0 {
			t.Errorf("%s: admitted, %d of %d connections are strangers'", name, strangers, open)
		}
		_ = its.Close()
	}
}
