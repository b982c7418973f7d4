package main

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	flagzalpha "k8s.io/apiserver/pkg/server/flagz/api/v1alpha1"
	flagz "k8s.io/apiserver/pkg/server/flagz/api/v1beta1"
	statuszalpha "k8s.io/apiserver/pkg/server/statusz/api/v1alpha1"
	statusz "k8s.io/apiserver/pkg/server/statusz/api/v1beta1"
	"sigs.k8s.io/yaml"
)

const warning = "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n"

func asked(h http.Handler, path, accept string) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	h.ServeHTTP(w, r)
	return w
}

// For people both pages have the form that they have in Kubernetes' own programs.
func TestPagesInTheFormOfKubernetes(t *testing.T) {
	s := sessionOf(t, configFor(t, newAPIServer(t), map[string]string{"MQTT_USERNAME": "us", "MQTT_PASSWORD": "pa55word", "MQTT_TLS": "true"}))
	pages := s.pages()
	forms := map[string]string{
		"/statusz": "^\nmodule-controller statusz\n" + warning + `
Started: \w{3} \w{3} [ 0-9]\d \d\d:\d\d:\d\d UTC \d{4}
Up: \d+ hr \d\d min \d\d sec
Go version: ` + runtime.Version() + `
Binary version: ` + version + `
Paths: /config /flagz /fleet /metrics /statusz

Member: `,
		"/flagz": "^\nmodule-controller flagz\n" + warning + `([a-z0-9-]+=.*\n)*mqtt-password=CLASSIFIED\n([a-z0-9-]+=.*\n)*mqtt-username=us\n([a-z0-9-]+=.*\n)*$`,
	}
	for path, form := range forms {
		for _, accept := range []string{"", "*/*", "text/plain", "text/html,text/*;q=0.8"} {
			w := asked(pages, path, accept)
			if kind := w.Header().Get("Content-Type"); w.Code != http.StatusOK || kind != "text/plain; charset=utf-8" || !regexp.MustCompile(form).MatchString(w.Body.String()) {
				t.Errorf("%s, accepted is %q: %d %s\n%s", path, accept, w.Code, kind, w.Body)
			}
		}
		for _, accept := range []string{"application/json", "text/html", "application/json;v=v9;g=config.k8s.io;as=Statusz"} {
			if w := asked(pages, path, accept); w.Code != http.StatusNotAcceptable || !strings.Contains(w.Body.String(), "application/yaml;v=v1beta1;g=config.k8s.io;as=") {
				t.Errorf("%s, accepted is %q: %d %s", path, accept, w.Code, w.Body)
			}
		}
	}
}

// Who asks for an object gets it as Kubernetes' library has it.
func TestPagesAsObjects(t *testing.T) {
	s := sessionOf(t, configFor(t, newAPIServer(t), map[string]string{"MQTT_PASSWORD": "pa55word", "MQTT_USERNAME": "us", "MQTT_TLS": "true"}))
	for _, o := range []any{&statusz.Statusz{}, &statuszalpha.Statusz{}, &flagz.Flagz{}, &flagzalpha.Flagz{}} {
		kind := reflect.TypeOf(o).Elem()
		v := kind.PkgPath()[strings.LastIndex(kind.PkgPath(), "/")+1:]
		for _, media := range []string{"application/json", "application/yaml"} {
			w := asked(s.pages(), "/"+strings.ToLower(kind.Name()), media+";v="+v+";g=config.k8s.io;as="+kind.Name())
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != media || (w.Header().Get("Warning") != "") != (v == "v1alpha1") {
				t.Errorf("%s %s: %d %v %s", kind, media, w.Code, w.Header(), w.Body)
			}
			if err := yaml.UnmarshalStrict(w.Body.Bytes(), o); err != nil {
				t.Errorf("%s %s: %v\n%s", kind, media, err, w.Body)
			}
			if is := w.Body.String(); strings.HasPrefix(is, "{") != (media == "application/json") || !strings.Contains(is, "config.k8s.io/"+v) || strings.Contains(is, "pa55word") {
				t.Errorf("%s %s is %s", kind, media, is)
			}
		}
		switch o := o.(type) {
		case *statusz.Statusz:
			if o.Name != component || o.BinaryVersion != version || o.StartTime.Unix() != started.Unix() || o.UptimeSeconds > int64(time.Since(started).Seconds()) || len(o.Paths) != 5 {
				t.Errorf("%+v", o)
			}
		case *flagz.Flagz:
			if o.Name != component || o.Flags["mqtt-username"] != "us" || o.Flags["mqtt-password"] != classified || o.Flags["metrics-bind-address"] == "" {
				t.Errorf("%+v", o)
			}
		}
	}
}
