package webhooks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
)

// What docs/operations.md shows of a body has all its fields and no other.
func TestTheBodyOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, found := strings.Cut(string(page), "```json\n")
	text, _, ended := strings.Cut(text, "```")
	if !found || !ended {
		t.Fatal("the page shows none")
	}
	var f Failure
	var shown, has any
	again := func() error {
		body, err := json.Marshal(f)
		return errors.Join(err, json.Unmarshal(body, &has))
	}
	if err := errors.Join(json.Unmarshal([]byte(text), &f), json.Unmarshal([]byte(text), &shown), again()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(has, shown); d != "" {
		t.Errorf("(-body +page):\n%s", d)
	}
}

var now = time.Unix(1_000_000, 0)

// aPod asks for a module.
func aPod(uid string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders-1", UID: types.UID(uid)}, Spec: corev1.PodSpec{
		NodeName: "vnode.base-1.dev",
		Containers: []corev1.Container{
			{Name: "orders", Image: "https://user:geheim@repo.example.com/orders.jar?token=geheim", Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1.2.0"}}},
		},
	}}
}

// aStatus shows what a container waits for; empty for nothing.
func aStatus(reason, message string) corev1.PodStatus {
	c := corev1.ContainerStatus{Name: "orders"}
	if reason != "" {
		c.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
	}
	return corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{c}}
}

// Of the statuses that a pod is written, one after the other, those are told that show another
// failure than the one before, whatever a cache shows that is behind.
func TestWhichFailuresAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		before string // what the pod showed before this session
		writes []string
		told   []string
	}{
		"fails again and again":                {"Installing", []string{"InstallFailed", "InstallFailed", "InstallBackOff", "InstallBackOff"}, []string{"InstallFailed", "InstallBackOff"}},
		"is tried in between":                  {"", []string{"Installing", "InstallFailed", "Installing", "InstallBackOff", "Installing", "InstallBackOff"}, []string{"InstallFailed", "InstallBackOff", "InstallBackOff"}},
		"failed before, with another owner":    {"InstallBackOff", []string{"InstallBackOff", "InstallBackOff"}, nil},
		"the jar is another module":            {"", []string{"VersionMismatch", "VersionMismatch"}, []string{"VersionMismatch"}},
		"serves, and then fails":               {"InstallFailed", []string{"", "InstallFailed"}, []string{"InstallFailed"}},
		"what waits for people fails not":      {"", []string{"InvalidModule", "CreateContainerConfigError", "ContainerCreating", "Superseded"}, nil},
		"its install goes on for long":         {"", []string{"Installing", "StartHung"}, nil},
		"the cache is behind, which says less": {"Installing", []string{"InstallFailed", "InstallFailed"}, []string{"InstallFailed"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShown()
			var told []string
			for _, reason := range c.writes {
				for _, f := range s.failures(aPod("uid"), aStatus(c.before, ""), aStatus(reason, ""), now) { // what was before is as old as can be
					told = append(told, f.Reason)
				}
			}
			if diff := cmp.Diff(c.told, told); diff != "" {
				t.Errorf("(-want +told):\n%s", diff)
			}
		})
	}
}

// What is remembered of containers is bounded: of one that was forgotten its pod tells.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	s := newShown()
	for i := range 3 * remembered {
		uid := fmt.Sprint("uid-", i)
		if told := s.failures(aPod(uid), aStatus("InstallFailed", ""), aStatus("InstallFailed", ""), now); len(told) != 0 {
			t.Fatalf("%s told %+v", uid, told)
		}
	}
	if s.reasons.Len() != remembered {
		t.Errorf("%d are remembered", s.reasons.Len())
	}
}

// The body is what the page of operations says, and nothing of a secret is in it.
func TestTheBody(t *testing.T) {
	told := newShown().failures(aPod("uid"), aStatus("", ""), aStatus("InstallFailed", "cannot fetch https://user:geheim@repo.example.com/orders.jar?token=geheim: password=geheim"), now)
	if len(told) != 1 {
		t.Fatalf("told: %+v", told)
	}
	body, err := json.Marshal(told[0])
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "geheim") {
		t.Errorf("a secret is in it: %s", body)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if id, _ := got["id"].(string); len(id) != 36 {
		t.Errorf("its ID is %v", got["id"])
	}
	delete(got, "id")
	message, _ := got["message"].(string)
	want := map[string]any{
		"version": "1", "time": "1970-01-12T13:46:40Z", "reason": "InstallFailed", "message": message,
		"base":   map[string]any{"environment": "dev", "identity": "base-1", "node": "vnode.base-1.dev"},
		"pod":    map[string]any{"namespace": "shop", "name": "orders-1", "uid": "uid", "container": "orders"},
		"module": map[string]any{"name": "orders", "version": "1.2.0", "url": "https://repo.example.com/orders.jar"},
	}
	if diff := cmp.Diff(want, got); diff != "" || !strings.HasPrefix(message, "cannot fetch https://repo.example.com/orders.jar") {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
