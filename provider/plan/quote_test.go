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

// A tunnel hides what looks like a credential before it is known what is one. Of a Secret that
// it takes apart so nothing is left.
func TestNoPartOfASecretIsLeft(t *testing.T) {
	for _, c := range []struct{ secret, parts string }{
		{"alpha//bravo@charlie/delta", "alpha bravo charlie delta"},
		{"password=alphabet bravo-charlie", "alphabet bravo charlie"},
		{"correct horse battery", "correct horse battery"},
		{"basic alphabet charlie", "alphabet charlie"},
		{"alphabet//bravo:charlie?delta", "alphabet bravo charlie delta"},
		{"alpha;https://user:bravo@charlie/x?token=delta", "alpha bravo charlie delta"},
		{`{"user":"alpha","password":"bravo"}`, "alpha bravo"},
	} {
		pod := podFor("p", "orders:1", secretive)
		pod.Spec.Containers[0].Env[1].Value = c.secret
		for _, context := range []string{"login with %s failed", "%s", "token: %s refused", "password=%s", "Authorization: Bearer %s, retry",
			"cannot open https://%s/x", "cannot open https://ci:%s@repo/x", `bad value "%s"`} {
			said := tunnel.Say(strings.ReplaceAll(context, "%s", c.secret), tunnel.MaxText)
			got := newPlanner(onBase().with(pod)).quote(said)
			for part := range strings.FieldsSeq(c.parts) {
				if strings.Contains(got, part) {
					t.Errorf("%q in %q is shown as %q", c.secret, context, got)
					break
				}
			}
		}
	}
}

// What is shown of a URL in a Secret stays readable elsewhere.
func TestOrdinaryWordsAreLeft(t *testing.T) {
	pod := podFor("p", "orders:1", image("https://repo.example/orders.jar?v=1&token=abc%2Fdef"), secretive)
	pod.Spec.Containers[0].Env[1].Value = "jdbc:mysql://db.example:3306/shop?user=u&password=x"
	for _, text := range []string{"cannot open https://repo.example/y", "no route to db.example", "jdbc:mysql is no driver", "version 1 of def"} {
		if got := newPlanner(onBase().with(pod)).quote(text); got != text {
			t.Errorf("%q is shown as %q", text, got)
		}
	}
}

// What a module says over the network is as secret, and may be long and of many lines.
func TestQuote(t *testing.T) {
	pod := podFor("p", "orders:1", image(private), secretive)
	for said, want := range map[string]string{
		"": "", "refused\nfor " + secret: "refused for xxxxx", "token=" + secret + " at " + private: "token=xxxxx at https://repo/orders.jar",
		"key -----BEGIN\r\n" + secret + "-key\n": "key xxxxx  xxxxx", "in production": "in production",
	} {
		if got := Quote([]Pod{pod}, said); got != want {
			t.Errorf("%q is shown as %q, want %q", said, got, want)
		}
	}
	for n := range 2 * len(secret) {
		for _, filler := range []string{"x", "x ", secret + " ", "é"} {
			for _, size := range []int{tunnel.MaxText, 4 * tunnel.MaxText, maxQuoted} { // where it may be cut
				said := strings.Repeat(filler, (size-len(secret)-n)/len(filler)) + secret + strings.Repeat("x", n)
				if got := Quote([]Pod{pod}, said); strings.Contains(got, secret[:minSecret]) || len(got) > tunnel.MaxText {
					t.Errorf("%q, and it at %d of %d: %q", filler, n, size, got)
				}
			}
		}
	}
}

// Why a module is installed anew is told as its probe says it, which quotes what it likes.
func TestSecretsThatAProbeQuotesAreNotShown(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1", secretive, ran(urlOf("orders", "1")), unheard))
	in.Pods[0].Probed = map[string]Probed{"orders": {Since: in.Pods[0].Status.ContainerStatuses[0].State.Running.StartedAt, Dead: "health rpc: " + secret}}
	out := Modules(in)
	if len(out.Commands) != 1 {
		t.Fatalf("commands %q", commands(out))
	}
	c := out.Commands[0]
	in.Memory = out.Memory
	shown := fmt.Sprintf("%+v", in.Memory)
	out = Modules(in.sent(c.Command, 0, answered(tunnel.Done, ""), func(a *Attempt) { a.Why = c.Why }))
	shown += fmt.Sprintf("%s %s %+v", events(out), shownBy(out, "p"), out.Memory)
	if strings.Contains(shown, secret) || !strings.Contains(shown, "Killing: orders:1 was stopped to be installed anew: health rpc: xxxxx") {
		t.Errorf("it is shown as %s", shown)
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
		"https://repo/x?sig=1": {"sig=1"}, "https://repo/x?token=abc%2Fdef&a=b+c%2Bdef": {"token=abc%2Fdef&a=b+c%2Bdef", "abc%2Fdef", "abc/def", "b c+def", "b+c+def"},
		"https://repo/x": nil, "https://%zz": nil,
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
