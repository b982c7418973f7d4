package kubelet

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
)

// shopPod is the Pod in which the base runs.
func shopPod(uid string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "bases", Name: "shop-0"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy"}, {Name: "jvm"}}}}
	p.UID = "1"
	if uid != "" {
		p.UID = "9"
	}
	return p
}

// A log is read of the Pod that the base was proved to run in, and of no other; what keeps it
// from being read is told with the status whose text people see.
func TestWhoseLogIsRead(t *testing.T) {
	const path = "/containerLogs/orders/stock/stock"
	for name, c := range map[string]struct {
		bound, node, path string // node is what the Node is annotated with
		pod               *corev1.Pod
		denied            bool
		want              string // of the answer; empty for a log
	}{
		"a log":               {bound: "bases/shop-0/1", pod: shopPod("")},
		"nothing is proved":   {bound: "", pod: shopPod(""), want: "is not proved"},
		"the Node names it":   {node: "bases/shop-0/1", pod: shopPod(""), want: "is not proved"},
		"the Node names none": {bound: "bases/shop-0/1", node: "other/other-0/1", pod: shopPod("")},
		"the Pod is gone":     {bound: "bases/shop-0/1", want: "not found"},
		"another Pod":         {bound: "bases/shop-0/1", pod: shopPod("other"), want: "is gone, and another one has its name"},
		"no Pod":              {bound: "somewhere", pod: shopPod(""), want: "runs in no Pod"},
		"another pod":         {bound: "bases/shop-0/1", pod: shopPod(""), path: "/containerLogs/orders/other/stock", want: "there is no pod orders/other"},
		"another container":   {bound: "bases/shop-0/1", pod: shopPod(""), path: "/containerLogs/orders/stock/other", want: "there is no container other"},
		"wrong options":       {bound: "bases/shop-0/1", pod: shopPod(""), path: path + "?tailLines=many", want: "read the option tailLines"},
		"no right to read it": {bound: "bases/shop-0/1", pod: shopPod(""), denied: true, want: "bind the ClusterRole module-controller-logs"},
	} {
		var objects []runtime.Object
		if c.pod != nil {
			objects = append(objects, c.pod)
		}
		w := newWorld(t, objects...)
		w.users["reader"] = user{[]string{"get proxy"}}
		view := w.bases.views[shopNode]
		view.Workload = c.bound
		view.Node.Annotations = map[string]string{plan.AnnotationBoundTo: c.node}
		w.bases.views[shopNode] = view
		if c.denied {
			w.client.PrependReactor("get", "pods", func(a k8stesting.Action) (bool, runtime.Object, error) {
				if a.GetSubresource() != "log" {
					return false, nil, nil
				}
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, "shop-0", nil)
			})
		}
		at := c.path
		if at == "" {
			at = path
		}
		got := request(w, 10250, http.MethodGet, at, tokenOf("reader"))
		status := http.StatusOK
		if c.want != "" {
			status = http.StatusBadRequest
		}
		if got.Code != status || !strings.Contains(got.Body.String(), c.want) {
			t.Errorf("%s: %d %s, want %q", name, got.Code, got.Body, c.want)
		}
	}
}

// The base's container is the one that kubectl means, or the first.
func TestWhichContainerIsTheBase(t *testing.T) {
	for named, want := range map[string]string{"": "proxy", "jvm": "jvm", "nothing": "proxy"} {
		pod := shopPod("")
		pod.Annotations = map[string]string{defaultContainer: named}
		if got := containerOf(pod); got != want {
			t.Errorf("with %q it is %s, want %s", named, got, want)
		}
	}
}

// The options of a log are read as a kubelet's, none of them lost; no request has more options
// than those.
func TestTheOptionsOfALog(t *testing.T) {
	for query, want := range map[string]*corev1.PodLogOptions{
		"": {}, "tailLines=0": {TailLines: new(int64(0))}, "follow=true&previous=true&timestamps=true": {Follow: true, Previous: true, Timestamps: true},
		"sinceSeconds=3600&limitBytes=9":                    {SinceSeconds: new(int64(3600)), LimitBytes: new(int64(9))},
		"sinceTime=2026-01-02T03:04:05Z":                    {SinceTime: new(metav1.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))},
		"container=other&insecureSkipTLSVerifyBackend=true": {},
		"tailLines=many":                                    nil, "follow=yes": nil, "sinceTime=today": nil, `tailLines=1,"container":"other"`: nil, "limitBytes=": nil,
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		got, err := optionsOf(values)
		if (err != nil) != (want == nil) || err == nil && cmp.Diff(want, got) != "" {
			t.Errorf("%s: %+v (%v)", query, got, err)
		}
	}
}
