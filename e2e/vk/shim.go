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
	"strconv"
	"strings"
	"sync"

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

	mu      sync.Mutex
	created map[string]corev1.Pod // by the module of its container; mu guards it
}

// startShim starts a shim before the API server that config reaches. Who gets it must
// close its server.
func startShim(config *rest.Config, env string, serving func() ([]string, error)) (*shim, error) {
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, fmt.Errorf("reach the API server: %w", err)
	}
	s := &shim{env: env, created: map[string]corev1.Pod{}}
	pass := &httputil.ReverseProxy{
		Transport:      transport,
		FlushInterval:  -1, // watches
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: s.note,
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/proxy/runningpods"):
			s.answerRunning(w, serving)
			return
		case createsPod(r):
			if err := s.makeModules(r); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
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
	r.Header.Set("Accept", "application/json")
	r.Header.Del("Accept-Encoding") // the answer is read too
	return nil
}

// note remembers which pods were created.
func (s *shim) note(resp *http.Response) error {
	if !createsPod(resp.Request) || resp.StatusCode != http.StatusCreated {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("read what was created: %w", err)
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	var pod corev1.Pod
	if err := json.Unmarshal(body, &pod); err != nil {
		return fmt.Errorf("read what was created: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range pod.Spec.Containers {
		s.created[c.Name+":1.0.0"] = pod
	}
	return nil
}

// answerRunning tells the pods whose modules the base serves, whatever the API shows.
func (s *shim) answerRunning(w http.ResponseWriter, serving func() ([]string, error)) {
	modules, err := serving()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	list := corev1.PodList{}
	list.Kind, list.APIVersion = "PodList", "v1"
	s.mu.Lock()
	for _, module := range modules {
		if pod, ours := s.created[module]; ours {
			list.Items = append(list.Items, pod)
		}
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // who asked went away
}
