package plan

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

const (
	secret  = "s3cr3t"
	private = "https://ci:" + secret + "@repo/orders.jar"
)

func of(text string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: text}, Key: "k"}}
}

// secretive makes a pod have values of Secrets, and some that are none.
func secretive(p *Pod) {
	c := &p.Spec.Containers[0]
	p.Declared = p.Spec.DeepCopy()
	declared := &p.Declared.Containers[0]
	for _, e := range []struct {
		name, value string
		declared    *corev1.EnvVar
	}{
		{"PASSWORD", secret, &corev1.EnvVar{ValueFrom: of("db")}},
		{"KEY", "-----BEGIN\r\n" + secret + "-key\n", &corev1.EnvVar{ValueFrom: of("key")}},
		{"FROM_ALL", "from-" + secret, nil},
		{"SHORT", "abc", &corev1.EnvVar{ValueFrom: of("db")}},
		{"MODE", "production", &corev1.EnvVar{Value: "production"}},
		{"URL", "jdbc:x?p=" + secret, &corev1.EnvVar{Value: "jdbc:x?p=$(PASSWORD)"}},
	} {
		c.Env = append(c.Env, corev1.EnvVar{Name: e.name, Value: e.value})
		if e.declared != nil {
			e.declared.Name = e.name
			declared.Env = append(declared.Env, *e.declared)
		}
	}
	declared.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{}}}
}

// What a base quotes of what it was given is not shown, and the rest is.
func TestSecretsThatABaseQuotesAreNotShown(t *testing.T) {
	for said, want := range map[string]string{
		"no stock in production":                "no stock in production",
		"abc is no key":                         "abc is no key",
		"login with " + secret + " refused":     "login with xxxxx refused",
		"bad key -----BEGIN " + secret + "-key": "bad key xxxxx xxxxx",
		"from-" + secret:                        "xxxxx",
		"code 403 for URL: " + private:          "code 403 for URL: https://repo/orders.jar",
		"no stock; password=" + secret:          "no stock; password=xxxxx",
	} {
		pod := podFor("p", "orders:1", image(private), secretive)
		failing := onBase().with(pod).sent(install("orders:1"), 0, answered(tunnel.Failed, said))
		failing.Seen.Listed = noon.Add(1)
		broken := onBase().with(pod).sent(uninstall("orders:0"), 0, unanswered) // so nothing else is sent now
		broken.Seen.Modules = []tunnel.Module{{ModuleKey: module("orders:1"), State: tunnel.Deactivated, Message: said}}
		for name, in := range map[string]Input{"the answer to an install": failing, "the list": broken} {
			out := Modules(in)
			shown := fmt.Sprintf("%s %s %+v", events(out), shownBy(out, "p"), out.Memory.Failures)
			if strings.Contains(shown, secret) || !strings.Contains(shown, want) {
				t.Errorf("%q in %s is shown as %s", said, name, shown)
			}
		}
	}
}

// A text is cut before it comes here, perhaps in the middle of a secret.
func TestHalfASecretIsNotShown(t *testing.T) {
	long := strings.Repeat("Ö", 40)
	pod := podFor("p", "orders:1", secretive)
	pod.Spec.Containers[0].Env[1].Value = long
	p := newPlanner(onBase().with(pod))
	for n := range len(long) {
		said := strings.Repeat("x", tunnel.MaxText-n) + strings.ToValidUTF8(long[:n], "")
		if got := p.quote(said); strings.Contains(got, "ÖÖ") {
			t.Errorf("%d bytes of it: %q", n, got[len(got)-n-5:])
		}
	}
}

// Where nobody knows where a value is from, it counts as a secret.
func TestValuesOfUnknownOriginAreSecrets(t *testing.T) {
	pod := podFor("p", "orders:1", secretive)
	pod.Declared = nil
	if got := newPlanner(onBase().with(pod)).quote("in production"); got != "in xxxxx" {
		t.Errorf("it is shown as %q", got)
	}
}

func TestCredentialsOfURLs(t *testing.T) {
	for raw, want := range map[string][]string{
		"https://ci:p%40ss@repo/x": {"p@ss", "p%40ss"}, "https://ghp_token@repo/x": {"ghp_token"},
		"https://repo/x?sig=1": {"sig=1"}, "https://repo/x": nil, "https://%zz": nil,
	} {
		pod := podFor("p", "orders:1", image(raw))
		got := secretsOf([]Pod{pod})
		for _, s := range want {
			if !strings.Contains(strings.Join(got, " "), s) {
				t.Errorf("of %s secret is %q, not %q", raw, got, s)
			}
		}
		if want == nil && len(got) > 0 {
			t.Errorf("of %s secret is %q", raw, got)
		}
	}
}
