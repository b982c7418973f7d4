package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"module-controller/internal/access"
)

// scraperToken is one that says it is somebody's; it is who the test's API server takes it for.
func scraperToken(subject string) string {
	text, err := json.Marshal(map[string]any{"sub": subject})
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

// gatekeeper is an API server that knows prometheus, who may get /metrics, and orders, who
// may not.
func gatekeeper() *fake.Clientset {
	api := fake.NewClientset()
	api.PrependReactor("create", "tokenreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenReview)
		for _, user := range []string{"prometheus", "orders", "unlucky"} {
			if r.Spec.Token == scraperToken(user) {
				r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: user, Extra: map[string]authenticationv1.ExtraValue{"pod": {"p"}}}}
			}
		}
		return true, r, nil
	})
	api.PrependReactor("create", "subjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
		r := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview)
		if r.Spec.User == "unlucky" {
			return true, nil, errors.New("the API server is away")
		}
		url := r.Spec.NonResourceAttributes
		r.Status.Allowed = r.Spec.User == "prometheus" && url.Path == "/metrics" && url.Verb == "get" && len(r.Spec.Extra["pod"]) == 1
		return true, r, nil
	})
	return api
}

func get(h http.Handler, authorization string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	h.ServeHTTP(w, r)
	return w
}

// Who may get /metrics by the API server's rules reads them, and nobody else; they are told
// what to do. Each refusal is counted, and logged once a minute for each reason.
func TestWhoReadsMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api, m := gatekeeper(), newMetrics()
		core, logs := observer.New(zap.WarnLevel)
		h := newScrapers(api, m, zap.New(core)).only("/metrics", m.handler(ofClient))
		for range 3 {
			for _, c := range []struct {
				authorization string
				status        int
				says, reason  string
			}{
				{"Bearer " + scraperToken("prometheus"), 200, "go_goroutines", ""},
				{"", 401, "send a bearer token", "no_token"},
				{"Basic YTo=", 401, "send a bearer token", "no_token"}, // a name alone
				{"Basic YTpi", 401, "no JSON web token", "unauthorized"},
				{"Digest YTpi", 401, "send a bearer token", "no_token"},
				{"Bearer junk", 401, "no JSON web token", "unauthorized"},
				{"Bearer " + scraperToken("stranger"), 401, "does not know it", "unauthorized"},
				{"Bearer " + scraperToken("orders"), 403, "bind a ClusterRole with nonResourceURLs /metrics", "forbidden"},
				{"Bearer " + scraperToken("unlucky"), 503, "away", "unreviewed"},
			} {
				before := 0.0
				if c.reason != "" {
					before = testutil.ToFloat64(m.scrapesRefused.of(c.reason))
				}
				w := get(h, c.authorization)
				if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) || strings.Contains(w.Body.String(), "go_goroutines") != (c.status == 200) {
					t.Errorf("%s: %d %.80s, want %d %s", c.authorization, w.Code, w.Body, c.status, c.says)
				}
				if c.reason != "" && testutil.ToFloat64(m.scrapesRefused.of(c.reason)) != before+1 {
					t.Errorf("%s is not counted as %s", c.authorization, c.reason)
				}
			}
		}
		if logs.Len() != 4 { // reasons
			t.Errorf("%d lines in the log", logs.Len())
		}
		asked := map[string]int{}
		for _, a := range api.Actions() {
			asked[a.GetResource().Resource]++
		}
		if diff := cmp.Diff(map[string]int{"tokenreviews": 4, "subjectaccessreviews": 2 + 3}, asked); diff != "" { // the unlucky are asked about again
			t.Errorf("(-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		get(h, "")
		if logs.Len() != 5 {
			t.Errorf("%d lines in the log a minute later", logs.Len())
		}
	})
}

// A permission that is withdrawn holds for a minute.
func TestAPermissionIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := gatekeeper()
		h := newScrapers(api, newMetrics(), zap.NewNop()).only("/metrics", http.NotFoundHandler())
		get(h, "Bearer "+scraperToken("prometheus"))
		api.PrependReactor("create", "subjectaccessreviews", func(a k8stesting.Action) (bool, runtime.Object, error) {
			return true, a.(k8stesting.CreateAction).GetObject(), nil
		})
		time.Sleep(access.Life - time.Nanosecond)
		if w := get(h, "Bearer "+scraperToken("prometheus")); w.Code != http.StatusNotFound {
			t.Errorf("within the minute: %d", w.Code)
		}
		time.Sleep(time.Nanosecond)
		if w := get(h, "Bearer "+scraperToken("prometheus")); w.Code != http.StatusForbidden {
			t.Errorf("after it: %d", w.Code)
		}
	})
}

// Whoever is on this host reads metrics; from elsewhere a token is needed unless a setting
// says otherwise.
func TestWhereATokenIsNeeded(t *testing.T) {
	a := newAPIServer(t)
	for _, c := range []struct {
		address, auth string
		want          int
	}{
		{"127.0.0.1:0", "", 200}, {"[::1]:0", "", 200}, {"localhost:0", "", 200}, {":0", "", 401}, {"10.0.0.1:0", "", 401},
		{":0", "none", 200}, {"127.0.0.1:0", "kubernetes", 401},
	} {
		s := sessionOf(t, configFor(t, a, map[string]string{"METRICS_BIND_ADDRESS": c.address, "METRICS_AUTH": c.auth}))
		if w := get(s.pages(), ""); w.Code != c.want {
			t.Errorf("%s, METRICS_AUTH=%s: %d, want %d", c.address, c.auth, w.Code, c.want)
		}
	}
}

// certificate writes a certificate for 127.0.0.1 and its key into a folder.
func certificate(t *testing.T, dir string, serial int64) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, &x509.Certificate{SerialNumber: big.NewInt(serial)}, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// A certificate that is replaced is used from the next connection on.
func TestMetricsOverTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, 1)
	cfg := read(t, with(with(needed(), "METRICS_CERT_PATH", cert), "METRICS_KEY_PATH", key))
	l, err := tls.Listen("tcp", "127.0.0.1:0", cfg.metricsTLS.tls())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Minute}
	ended := make(chan error)
	go func() { ended <- server.Serve(l) }()
	for want := range int64(2) {
		certificate(t, dir, want+1)
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != want+1 {
			t.Errorf("certificate %d, want %d", got, want+1)
		}
		_ = c.Close()
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	<-ended
	for want, env := range map[string]map[string]string{
		"METRICS_CERT_PATH and METRICS_KEY_PATH need each other: set both or none":                  with(needed(), "METRICS_CERT_PATH", cert),
		"METRICS_CERT_PATH and METRICS_KEY_PATH are of no use: open /no: no such file or directory": with(with(needed(), "METRICS_CERT_PATH", cert), "METRICS_KEY_PATH", "/no"),
	} {
		if diff := cmp.Diff([]string{want}, faults(t, env)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// What is left open is warned of, counted and shown, and nothing else is.
func TestRisks(t *testing.T) {
	secure := map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "b", "MQTT_TLS": "true", "MQTT_USERNAME": "u", "MQTT_PASSWORD": "p", "METRICS_BIND_ADDRESS": "127.0.0.1:8080"}
	for _, c := range []struct {
		env  map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"MQTT_TLS": ""}, "MQTT_TLS"},
		{map[string]string{"MQTT_USERNAME": "", "MQTT_PASSWORD": ""}, "MQTT_USERNAME"},
		{map[string]string{"METRICS_BIND_ADDRESS": ":8080"}, "METRICS_CERT_PATH"},
		{map[string]string{"METRICS_BIND_ADDRESS": ":8080", "METRICS_AUTH": "none"}, "METRICS_AUTH"},
		{map[string]string{"METRICS_BIND_ADDRESS": "0"}, ""},
		{map[string]string{"KUBELET_PROXY_ENABLED": "true", "POD_IP": "10.0.0.1"}, "KUBELET_PROXY_CERT_PATH"},
		{map[string]string{"ENABLE_HTTP_TUNNEL": "true"}, ""},
		{map[string]string{"ENABLE_HTTP_TUNNEL": "true", "HTTP_TUNNEL_AUTH": "insecure-anyone"}, "HTTP_TUNNEL_AUTH"},
		{map[string]string{"ENABLE_HTTP_TUNNEL": "true", "HTTP_TUNNEL_AUTH": "token"}, "HTTP_TUNNEL_CERT_PATH"},
		{map[string]string{"HTTP_TUNNEL_AUTH": "insecure-anyone"}, ""}, // the tunnel is off
	} {
		env := maps.Clone(secure)
		maps.Copy(env, c.env)
		cfg := read(t, env)
		core, logs := observer.New(zap.WarnLevel)
		warnOfRisks(zap.New(core), cfg)
		var warned []string
		for _, l := range logs.All() {
			warned = append(warned, l.ContextMap()["setting"].(string))
		}
		m := newMetrics()
		m.warnOf(cfg.risks())
		if got := strings.Join(warned, " "); got != c.want || len(cfg.notes()) != logs.Len() || testutil.CollectAndCount(m.insecure) != logs.Len() {
			t.Errorf("%v: warned of %s, noted %q, want %s", c.env, got, cfg.notes(), c.want)
		}
	}
}
