package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func answerOf(h http.Handler, path string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

// What a replica shows of itself has no secret in it, and profiles are shown where that is
// set only.
func TestPages(t *testing.T) {
	a := newAPIServer(t)
	for profiling, want := range map[string]int{"false": http.StatusNotFound, "true": http.StatusOK} {
		s := sessionOf(t, configFor(t, a, map[string]string{"PROFILING": profiling, "MQTT_USERNAME": "us", "MQTT_PASSWORD": "pa55word", "MQTT_TLS": "true"}))
		for path, says := range map[string]string{
			"/metrics": "module_controller_bases_owned 0", "/statusz": "Binary version: " + version, "/flagz": "mqtt-password=CLASSIFIED\n", "/config": "kind: ModuleControllerConfiguration",
			"/fleet": "Fleet of module-controller",
		} {
			if code, body := answerOf(s.pages(), path); code != http.StatusOK || !strings.Contains(body, says) || strings.Contains(body, "pa55word") {
				t.Errorf("%s: %d %s", path, code, body)
			}
		}
		if code, _ := answerOf(s.pages(), "/debug/pprof/"); code != want {
			t.Errorf("with profiling %s the profiles: %d", profiling, code)
		}
		if code, _ := answerOf(s.pages(), "/"); code != http.StatusNotFound {
			t.Errorf("another path: %d", code)
		}
	}
}

// Each page asks for the permission to get its path.
func TestPagesAreShownToWhoMayGetThem(t *testing.T) {
	a := newAPIServer(t)
	s := sessionOf(t, configFor(t, a, map[string]string{"METRICS_AUTH": metricsAuthKubernetes, "PROFILING": "true"}))
	for _, path := range []string{"/metrics", "/statusz", "/flagz", "/config", "/fleet", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile"} {
		if code, body := answerOf(s.pages(), path); code != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d %s", path, code, body)
		}
	}
	api := gatekeeper()
	for path, want := range map[string]int{"/metrics": http.StatusOK, "/flagz": http.StatusForbidden, "/config": http.StatusForbidden, "/fleet": http.StatusForbidden} {
		h := newScrapers(api, newMetrics(), s.log).only(path, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		if w := get(h, "Bearer "+scraperToken("prometheus")); w.Code != want || want != http.StatusOK && !strings.Contains(w.Body.String(), "nonResourceURLs "+path) {
			t.Errorf("who may get /metrics asks for %s: %d %s", path, w.Code, w.Body)
		}
	}
}

// A browser, which sends no bearer token, is asked for one and gives it as a password. Who is
// known is asked for nothing more.
func TestABrowserGivesATokenAsAPassword(t *testing.T) {
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	h := newScrapers(gatekeeper(), newMetrics(), zap.NewNop()).only("/metrics", shown)
	for password, want := range map[string]int{"": http.StatusUnauthorized, "junk": http.StatusUnauthorized, scraperToken("orders"): http.StatusForbidden, scraperToken("prometheus"): http.StatusOK} {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		if password != "" {
			r.SetBasicAuth("anybody", password)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if ask := w.Header().Get("WWW-Authenticate"); w.Code != want || (ask != "") != (want == http.StatusUnauthorized) {
			t.Errorf("password %.10q: %d, asked for %q; want %d", password, w.Code, ask, want)
		}
	}
	if w := get(h, "Bearer "+scraperToken("prometheus")); w.Code != http.StatusOK {
		t.Errorf("a bearer token: %d %s", w.Code, w.Body)
	}
}

// A session whose loops are stuck is not live; one that is only not ready is. Why a check fails
// is said where that check is asked for alone.
func TestLiveness(t *testing.T) {
	fault := errors.New("no turn of: renewals")
	no := func() error { return fault }
	h := healthHandler([]check{{"election-loops", func() error { return nil }}}, []check{{"tunnel", no}}, nil)
	if code, body := answerOf(h, "/livez?verbose"); code != http.StatusOK || body != "[+]ping ok\n[+]election-loops ok\nlivez check passed\n" {
		t.Errorf("not ready: %d %s", code, body)
	}
	h = healthHandler([]check{{"election-loops", no}}, nil, nil)
	for _, name := range []string{"healthz", "livez"} {
		if code, body := answerOf(h, "/"+name); code != http.StatusInternalServerError || body != "[+]ping ok\n[-]election-loops failed: reason withheld\n"+name+" check failed\n" {
			t.Errorf("stuck: %d %s", code, body)
		}
		if code, body := answerOf(h, "/"+name+"/election-loops"); code != http.StatusInternalServerError || !strings.Contains(body, fault.Error()) {
			t.Errorf("the check alone: %d %s", code, body)
		}
		if code, body := answerOf(h, "/"+name+"/ping"); code != http.StatusOK || body != "ok" {
			t.Errorf("another check alone: %d %s", code, body)
		}
	}
}
