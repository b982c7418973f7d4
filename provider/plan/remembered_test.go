package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestSourceOf(t *testing.T) {
	for url, want := range map[string]string{
		"":                                "",
		"file:///x.jar":                   "file:///x.jar",
		"https://host/x.jar":              "https://host/x.jar",
		"https://u:s3cr3t@host/x.jar":     "https://host/x.jar#",
		"https://host/x.jar?sig=s3cr3t":   "https://host/x.jar#",
		"https://host/x.jar#s3cr3t":       "https://host/x.jar#",
		"https://host/x.jar#deadbee":      "https://host/x.jar#",
		"%zz":                             "(not a URL)#",
		"https://host/x.jar?s3cr3t#beef1": "https://host/x.jar#",
	} {
		got := sourceOf(url)
		if shown, hash, marked := strings.Cut(got, "#"); shown+map[bool]string{true: "#"}[marked] != want || marked && len(hash) != 8 {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
		if strings.Contains(got, "s3cr3t") {
			t.Errorf("%s: %s", url, got)
		}
		if again := sourceOf(got); again != got {
			t.Errorf("%s: the source of %s is %s", url, got, again)
		}
	}
	if a, b := sourceOf("https://host/x.jar?v=1"), sourceOf("https://host/x.jar?v=2"); a == b {
		t.Errorf("two URLs have one source: %s", a)
	}
}

// A jar that is fetched with credentials is installed once, also by a version of this
// program that finds the whole URL in a status, and nothing shows them.
func TestSecretsOfAURLAreNotShown(t *testing.T) {
	url := "https://ci:s3cr3t@host/orders-1.jar?X-Amz-Signature=deadbeef"
	s := newSim(overHTTP)
	s.jar(url, "orders", "1", "")
	pod := s.pod("p", "orders", "1", url)
	s.rounds(5)
	for _, imageID := range []string{pod.Status.ContainerStatuses[0].ImageID, url} {
		pod.Status.ContainerStatuses[0].ImageID = imageID
		s.rounds(5)
		s.want(t, map[string]string{"p": "Running"}, "orders:1")
		s.wantLog(t, "install orders:1")
		raw, err := pod.Status.Marshal()
		if err != nil || strings.Contains(string(raw), "s3cr3t") || strings.Contains(string(raw), "deadbeef") {
			t.Errorf("error %v, status %+v", err, pod.Status)
		}
	}
	pod.Spec.Containers[0].Image = url + "2"
	s.jar(url+"2", "orders", "1", "")
	s.rounds(5)
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
	if c := pod.Status.ContainerStatuses[0]; c.LastTerminationState.Terminated.Reason != "Replaced" || c.RestartCount != 1 {
		t.Errorf("status %+v", c)
	}
}

func TestRunsAs(t *testing.T) {
	for id, want := range map[string]string{
		"koupleless://10.0.0.1/orders:1.0/1795435200": "orders:1.0",
		"koupleless://10.0.0.1/orders:1.0":            "orders:1.0",
		"koupleless://b:1/Order_Service:1-x+y/1":      "Order_Service:1-x+y",
		"koupleless://b/x":                            "",
		"koupleless://b":                              "",
		"koupleless://b/:1/1":                         "",
		"koupleless://b/orders:1,victim:2/1":          "",
		"docker://b/orders:1":                         "",
		"":                                            "",
	} {
		s := corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "other", ContainerID: "koupleless://b/stock:1"}, {Name: "c", ContainerID: id}}}
		key, known := RunsAs(&s, "c")
		if known != (want != "") || known && key != module(want) {
			t.Errorf("%s: %s, %v, want %q", id, key, known, want)
		}
	}
	if key, known := RunsAs(&corev1.PodStatus{}, "c"); known {
		t.Errorf("nothing shown: %s", key)
	}
}
