package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// defaultContainer on a Pod names the container that kubectl means where none is named.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// logs answers with the log of the base's own container: modules write into that one, and
// nothing tells their lines apart. What cannot be done is told with the status 400, whose text
// the API server passes on to people.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	who := askerOf(r.Context())
	if err := s.streams.begin(who); err != nil {
		s.tellRefused(r, http.StatusText(http.StatusTooManyRequests), who, nodeOf(r.Context()), err)
		http.Error(w, err.Error(), http.StatusTooManyRequests)
		return
	}
	defer s.streams.end(who)
	log, err := s.openLog(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	defer func() { _ = log.Close() }()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it may be followed for hours
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(flushing{w, http.NewResponseController(w)}, log) // whichever end goes away ends it
}

// flushing sends at once what is written.
type flushing struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (f flushing) Write(text []byte) (int, error) {
	n, err := f.w.Write(text)
	return n, errors.Join(err, f.c.Flush())
}

// openLog opens the log that a request asks for.
func (s *Server) openLog(r *http.Request) (io.ReadCloser, error) {
	options, err := optionsOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	view, err := s.viewOf(r.Context(), r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
	if err != nil {
		return nil, err
	}
	base, err := s.basePod(r.Context(), view)
	if err != nil {
		return nil, err
	}
	options.Container = containerOf(base)
	log, err := s.client.CoreV1().Pods(base.Namespace).GetLogs(base.Name, options).Stream(r.Context())
	if err != nil {
		return nil, noLog(base, err)
	}
	return log, nil
}

// logOptions are the options of a log that a request may have, in its query as in
// corev1.PodLogOptions: numbers and booleans.
var logOptions = []string{"follow", "previous", "timestamps", "sinceSeconds", "tailLines", "limitBytes"}

// optionsOf reads the options of a log. What else a request has is passed over.
func optionsOf(query url.Values) (*corev1.PodLogOptions, error) {
	options := &corev1.PodLogOptions{}
	for _, name := range logOptions {
		if !query.Has(name) {
			continue
		}
		one, err := json.Marshal(map[string]json.RawMessage{name: json.RawMessage(query.Get(name))}) // which is one value, or wrong
		if err == nil {
			err = json.Unmarshal(one, options)
		}
		if err != nil {
			return nil, fmt.Errorf("read the option %s=%q: %w", name, query.Get(name), err)
		}
	}
	if since := query.Get("sinceTime"); since != "" {
		at, err := time.Parse(time.RFC3339, since)
		if err != nil {
			return nil, fmt.Errorf("read the option sinceTime: %w", err)
		}
		options.SinceTime = new(metav1.NewTime(at))
	}
	return options, nil
}

// noLog says why a log cannot be read, and what to do about it.
func noLog(base *corev1.Pod, err error) error {
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("module-controller may not read logs in namespace %s, where the base runs: bind the ClusterRole module-controller-logs there to its service account (%w)", base.Namespace, err)
	}
	return fmt.Errorf("read the log of the base's Pod %s/%s: %w", base.Namespace, base.Name, err)
}

// viewOf gives what is known of the request's Node, on which there must be such a container.
func (s *Server) viewOf(ctx context.Context, namespace, pod, container string) (View, error) {
	view, ok := s.bases.Look(nodeOf(ctx))
	if !ok {
		return View{}, fmt.Errorf("%s is not known here now: ask again", nodeOf(ctx))
	}
	i := slices.IndexFunc(view.Pods, func(p *corev1.Pod) bool { return p.Namespace == namespace && p.Name == pod })
	if i < 0 {
		return View{}, fmt.Errorf("there is no pod %s/%s on %s", namespace, pod, view.Node.Name)
	}
	if !slices.ContainsFunc(view.Pods[i].Spec.Containers, func(c corev1.Container) bool { return c.Name == container }) {
		return View{}, fmt.Errorf("there is no container %s in pod %s/%s", container, namespace, pod)
	}
	return view, nil
}

// basePod gives the Pod that the base of a Node was proved to run in. Where nothing was proved,
// the base could name any Pod, and have its log shown.
func (s *Server) basePod(ctx context.Context, view View) (*corev1.Pod, error) {
	if view.Workload == "" {
		return nil, fmt.Errorf("in which Pod the base of %s runs is not proved, so its log cannot be read here: that is known of bases over HTTP, with HTTP_TUNNEL_AUTH=pod or token, from the first heartbeat that their owner hears. Ask again in a minute, or read it where the base runs", view.Node.Name)
	}
	parts := strings.Split(view.Workload, "/")
	if len(parts) != 3 {
		return nil, fmt.Errorf("the base of %s runs in no Pod: %s", view.Node.Name, view.Workload)
	}
	pod, err := s.client.CoreV1().Pods(parts[0]).Get(ctx, parts[1], metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the base's Pod: %w", err)
	}
	if string(pod.UID) != parts[2] {
		return nil, fmt.Errorf("the base's Pod %s/%s is gone, and another one has its name: the log of a Pod ends with it", parts[0], parts[1])
	}
	return pod, nil
}

// containerOf is the container of a Pod in which its base runs: the one that kubectl means, or
// the first.
func containerOf(pod *corev1.Pod) string {
	named := pod.Annotations[defaultContainer]
	if slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == named }) {
		return named
	}
	return pod.Spec.Containers[0].Name
}
