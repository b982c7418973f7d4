package vk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// shim stands before the API server: see the package comment.
type shim struct {
	server *httptest.Server
	env    string // of the bases, and the namespace of the pods
}

// startShim starts a shim before the API server that config reaches. Who gets it must
// close its server.
func startShim(config *rest.Config, env string) (*shim, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	s := &shim{env: env}
	pass := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // watches
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if createsPod(r) {
			if err := s.makeModules(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		r.URL.Path = inPod.ReplaceAllString(r.URL.Path, "/api/v1/nodes/$1/proxy/")
		pass.ServeHTTP(w, r)
	}))
	return s, nil
}

// kubeconfig writes a file by which the suite reaches the shim.
func (s *shim) kubeconfig(path string) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["shim"] = &clientcmdapi.Cluster{Server: s.server.URL}
	config.Contexts["shim"] = &clientcmdapi.Context{Cluster: "shim"}
	config.CurrentContext = "shim"
	return clientcmd.WriteToFile(*config, path)
}

func createsPod(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/pods")
}

// inPod is the path of what the suite asks a pod of the Node's name, in which it takes the
// kubelet to run.
var inPod = regexp.MustCompile(`^/api/v1/namespaces/[^/]+/pods/https:([^/:]+):10250/proxy/`)

// makeModules rewrites a request that creates a pod: its containers become modules.
func (s *shim) makeModules(r *http.Request) error {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read a pod: %w", err)
	}
	var pod corev1.Pod
	if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(sent, nil, &pod); err != nil { // clients may speak protobuf
		return fmt.Errorf("read a pod: %w", err)
	}
	pod.Labels = map[string]string{"virtual-kubelet.koupleless.io/component": "module"}
	pod.Spec.Tolerations = []corev1.Toleration{
		{Key: "schedule.koupleless.io/virtual-node", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute},
		{Key: "schedule.koupleless.io/node-env", Value: s.env, Effect: corev1.TaintEffectNoExecute},
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		c.Image = "file:///opt/modules/" + c.Name + "-1.0.0-ark-biz.jar"
		c.Env = append(c.Env, corev1.EnvVar{Name: "BIZ_VERSION", Value: "1.0.0"})
	}
	body, err := json.Marshal(pod)
	if err != nil {
		return fmt.Errorf("write a pod: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	r.Header.Set("Content-Type", "application/json")
	return nil
}
