package suite

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// kubectl runs kubectl in a World's namespace, and gives what it prints and complains of.
func kubectl(w *world.World, args ...string) (string, error) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), world.Timeout)
	defer cancel()
	out, err := cluster.Plane.Kubectl(ctx, append([]string{"-n", w.Env}, args...)...)
	if err != nil {
		out += err.Error()
	}
	return out, err
}

// newKubelets makes a World with two bases over HTTP, whose Pods run on a machine, a module on
// the first, and a replica that serves the kubelet's API.
func newKubelets(t *testing.T) *world.World {
	t.Helper()
	w := cluster.New(t).WithHTTP().WithKubeletAPI(4).WithController("HEALTH_INTERVAL=1s").WithHTTPFleet(2).WithMachine()
	w.AwaitNodesReady(2)
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	w.AwaitNodeAt(world.BaseID(1), w.Replicas[0])
	return w
}

// Who reads the log of a module's pod gets that of the base's own container, by the options
// that he gave, through an API server that takes host names first.
func TestLogsOfAModule(t *testing.T) {
	t.Parallel()
	w := newKubelets(t)
	node := w.AddressesOf(world.BaseID(1))
	pod, err := w.GetPod("stock")
	w.Must(err)
	if base := pod.Status.PodIP; cmp.Diff(node[corev1.NodeInternalIP], []string{"127.0.0.1", base}) != "" || node[corev1.NodeHostName][0] != "127.0.0.1" {
		t.Errorf("the Node tells %v, and the pod's address is %s", node, base)
	}
	for _, c := range []struct{ args, want string }{
		{"--tail=0", "tailLines=0"},
		{"--tail=7 --timestamps --limit-bytes=900", "limitBytes=900&tailLines=7&timestamps=true"},
		{"--since=1h", "sinceSeconds=3600"},
		{"--since-time=2026-01-02T03:04:05Z", "sinceTime=2026-01-02T03%3A04%3A05Z"},
		{"--previous", "previous=true"},
	} {
		out, err := kubectl(w, append([]string{"logs", "stock"}, strings.Fields(c.args)...)...)
		if want := "/base " + c.want + "\n"; err != nil || !strings.HasSuffix(out, want) || !strings.HasPrefix(out, "base-127-") {
			t.Errorf("kubectl logs %s: %q, want …%q (%v)", c.args, out, want, err)
		}
	}
	stream, err := cluster.Client.CoreV1().Pods(w.Env).GetLogs("stock", &corev1.PodLogOptions{Follow: true}).Stream(t.Context())
	w.Must(err)
	lines := bufio.NewScanner(stream)
	for n := range 4 { // each as it is written
		if !lines.Scan() || n > 0 && lines.Text() != fmt.Sprintf("line %d", n) {
			t.Fatalf("line %d of a log that is followed is %q (%v)", n, lines.Text(), lines.Err())
		}
	}
	w.Must(stream.Close())
	// A base whose Pod is gone has no log.
	w.Must(cluster.Client.CoreV1().Pods(w.Env).DeleteCollection(t.Context(), *metav1.NewDeleteOptions(0), metav1.ListOptions{LabelSelector: "base.koupleless.io/stack"}))
	w.Eventually(world.Timeout, func() error {
		if out, err := kubectl(w, "logs", "stock"); err == nil || !strings.Contains(out, "read the base's Pod: pods") {
			return fmt.Errorf("without its base's Pod it says %q", out)
		}
		return nil
	})
}

// What is run in a module's pod is a question to its base. All but those are refused.
func TestQuestionsToABase(t *testing.T) {
	t.Parallel()
	w := newKubelets(t)
	out, err := kubectl(w, "exec", "stock", "--", "modules")
	var modules []struct{ Name, Version, State string }
	if err == nil {
		err = json.Unmarshal([]byte(out), &modules)
	}
	if want := []struct{ Name, Version, State string }{{"stock", "1.0.0", "activated"}}; err != nil || cmp.Diff(want, modules) != "" {
		t.Errorf("its modules are %q (%v)", out, err)
	}
	out, err = kubectl(w, "exec", "stock", "--", "health")
	var health struct{ MaxMetaspaceBytes, UsedMetaspaceBytes, CPUs float64 }
	if err == nil {
		err = json.Unmarshal([]byte(out), &health)
	}
	if err != nil || health.CPUs != 2 || health.UsedMetaspaceBytes <= 0 || health.MaxMetaspaceBytes < health.UsedMetaspaceBytes {
		t.Errorf("its health is %q (%v)", out, err)
	}
	for command, want := range map[string]string{
		"threads": "the base's runtime tells no threads", "sh": `"sh" is refused: a base is asked questions only: health, modules`, "modules --all": "is refused",
	} {
		out, err := kubectl(w, append([]string{"exec", "stock", "--"}, strings.Fields(command)...)...)
		if err == nil || !strings.Contains(out, want) || !strings.Contains(out, "exit code 126") {
			t.Errorf("%s: %q, want %q (%v)", command, out, want, err)
		}
	}
}

// What a base uses is told in the forms of a kubelet: its metaspace as memory, and the
// processors of where it runs.
func TestWhatABaseUses(t *testing.T) {
	t.Parallel()
	w := newKubelets(t)
	w.Eventually(world.Timeout, func() error {
		sum, err := w.StatsOf(world.BaseID(1))
		switch {
		case err != nil:
			return err
		case sum.Node.NodeName != w.NodeName(world.BaseID(1)), sum.Node.Memory == nil, sum.Node.CPU == nil, *sum.Node.CPU.UsageCoreNanoSeconds == 0, *sum.Node.Memory.WorkingSetBytes == 0,
			len(sum.Pods) != 1, sum.Pods[0].PodRef.Name != "stock", len(sum.Pods[0].Containers) != 1:
			return fmt.Errorf("the summary is %+v", sum)
		}
		return nil
	})
	text, err := w.OfNode(world.BaseID(1), "metrics/resource")
	w.Must(err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	w.Must(err)
	for _, name := range []string{"node_cpu_usage_seconds_total", "node_memory_working_set_bytes"} {
		if f := families[name]; f == nil || len(f.Metric) != 1 || f.Metric[0].GetCounter().GetValue()+f.Metric[0].GetGauge().GetValue() <= 0 || f.Metric[0].GetTimestampMs() == 0 {
			t.Errorf("%s is not as metrics-server wants it:\n%s", name, text)
		}
	}
	if other, err := w.StatsOf(world.BaseID(2)); err != nil || other.Node.NodeName != w.NodeName(world.BaseID(2)) || len(other.Pods) > 0 {
		t.Errorf("of the other base: %+v (%v)", other, err)
	}
	list, err := w.OfNode(world.BaseID(1), "pods")
	var pods corev1.PodList
	if err == nil {
		err = json.Unmarshal(list, &pods)
	}
	if err != nil || len(pods.Items) != 1 || pods.Items[0].Name != "stock" {
		t.Errorf("its pods are %s (%v)", list, err)
	}
}

// Who may not, gets nothing: neither through the API server nor past it.
func TestWhoMayAskAKubelet(t *testing.T) {
	t.Parallel()
	w := newKubelets(t)
	user := "system:serviceaccount:" + w.Env + ":default"
	for _, args := range []string{"logs stock", "exec stock -- modules", "get --raw /api/v1/nodes/" + w.NodeName(world.BaseID(1)) + "/proxy/pods"} {
		if out, err := kubectl(w, append([]string{"--as=" + user}, strings.Fields(args)...)...); err == nil || !strings.Contains(out, "Forbidden") {
			t.Errorf("%s: %q (%v)", args, out, err)
		}
	}
	port := w.AwaitNodeAt(world.BaseID(1), w.Replicas[0])
	request := &authenticationv1.TokenRequest{}
	token, err := cluster.Client.CoreV1().ServiceAccounts(w.Env).CreateToken(t.Context(), "default", request, metav1.CreateOptions{})
	w.Must(err)
	for header, want := range map[string]int{"": http.StatusUnauthorized, "Bearer x.y.z": http.StatusUnauthorized, "Bearer " + token.Status.Token: http.StatusForbidden} {
		for _, path := range []string{"/pods", "/runningpods/", "/stats/summary", "/metrics/resource", "/containerLogs/" + w.Env + "/stock/stock", "/nonsense"} {
			if status, text := ask(t, port, path, header); status != want {
				t.Errorf("%s with %.20q: %d %s, want %d", path, header, status, text, want)
			}
		}
	}
	// Whom the rules let read what a Node uses may read that and nothing else.
	name := "stats-" + w.Env
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"nodes/metrics"}, Verbs: []string{"get"}}}}
	_, err = cluster.Client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{})
	w.Must(err)
	_, err = cluster.Client.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Env, Name: "default"}},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Eventually(2*time.Minute, func() error { // what was refused is remembered for a minute
		if status, text := ask(t, port, "/metrics/resource", "Bearer "+token.Status.Token); status != http.StatusOK {
			return fmt.Errorf("%d %s", status, text)
		}
		return nil
	})
	if status, text := ask(t, port, "/pods", "Bearer "+token.Status.Token); status != http.StatusForbidden {
		t.Errorf("it may read pods: %d %s", status, text)
	}
}

// ask asks a kubelet's port for a path, past the API server.
func ask(t *testing.T, port int, path, authorization string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1:"+strconv.Itoa(port)+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// After a failover a Node names its new owner, whom the API server asks then. Of a base over
// MQTT it is told that its log cannot be read here.
func TestTheKubeletFollowsTheOwner(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithKubeletAPI(2).WithReplicas(2)
	w.AwaitNodesReady(1)
	w.CreatePod("stock", world.BaseID(1), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	holder := w.Owners()[w.NodeName(world.BaseID(1))].Holder
	owner := w.ReplicaOf(holder)
	w.AwaitNodeAt(world.BaseID(1), owner)
	if out, err := kubectl(w, "exec", "stock", "--", "modules"); err != nil {
		t.Errorf("before: %s (%v)", out, err)
	}
	if out, err := kubectl(w, "logs", "stock"); err == nil || !strings.Contains(out, "is not proved, so its log cannot be read here") {
		t.Errorf("the log is %q (%v)", out, err)
	}
	w.Must(owner.Kill())
	w.AwaitOwned(12*time.Second, 1, holder)
	for _, r := range w.Replicas {
		if r != owner {
			w.AwaitNodeAt(world.BaseID(1), r)
		}
	}
	if out, err := kubectl(w, "exec", "stock", "--", "modules"); err != nil || !strings.Contains(out, `"stock"`) {
		t.Errorf("after: %s (%v)", out, err)
	}
}
