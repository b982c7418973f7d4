package pods

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
)

func plainVar(name, value string) corev1.EnvVar { return corev1.EnvVar{Name: name, Value: value} }

func fieldVar(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func resourceVar(name, container, of, divisor string) corev1.EnvVar {
	ref := &corev1.ResourceFieldSelector{ContainerName: container, Resource: of}
	if divisor != "" {
		ref.Divisor = resource.MustParse(divisor)
	}
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: ref}}
}

func secretVar(name, secret, key string, optional bool) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: key, Optional: &optional,
	}}}
}

func configVar(name, config, key string, optional bool) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{
		LocalObjectReference: corev1.LocalObjectReference{Name: config}, Key: key, Optional: &optional,
	}}}
}

func fromSecret(name, prefix string, optional bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, SecretRef: &corev1.SecretEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
	}}
}

func fromConfig(name, prefix string, optional bool) corev1.EnvFromSource {
	return corev1.EnvFromSource{Prefix: prefix, ConfigMapRef: &corev1.ConfigMapEnvSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Optional: &optional,
	}}
}

// world is what references lead to: a Secret and a ConfigMap that are there, one of each
// that is not, and some that nobody may read.
func world() map[reference]source {
	gr := corev1.Resource("secrets")
	return map[reference]source{
		{kindSecret, "default", "s"}:       {values: map[string]string{"k": "secret", "LEVEL": "of the secret"}},
		{kindConfigMap, "default", "c"}:    {values: map[string]string{"LEVEL": "debug", "a b": "odd", "a=b": "no name"}},
		{kindSecret, "default", "no"}:      {err: apierrors.NewNotFound(gr, "no")},
		{kindConfigMap, "default", "no"}:   {err: apierrors.NewNotFound(gr, "no")},
		{kindSecret, "default", "mine"}:    {err: unbound("default", apierrors.NewForbidden(gr, "mine", errors.New("no")))},
		{kindConfigMap, "default", "slow"}: {err: errors.New("deadline exceeded")},
	}
}

func podWith(c corev1.Container) *corev1.Pod {
	pod := podOn("one", "a", "1")
	pod.Labels["app"], pod.Annotations = "shop", map[string]string{"x/y": "z"}
	pod.Spec.ServiceAccountName = "account"
	c.Name, c.Image = "orders", "file:///orders.jar"
	c.Resources = corev1.ResourceRequirements{
		Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")},
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")},
	}
	pod.Spec.Containers = []corev1.Container{c, {Name: "other", Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}}}}
	return pod
}

var onHost = host{address: "192.0.2.9", allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("1Gi")}}

// An environment is what a kubelet makes of it.
func TestEnvironmentsAreResolvedAsKubeletsDo(t *testing.T) {
	env := func(vars ...corev1.EnvVar) corev1.Container { return corev1.Container{Env: vars} }
	from := func(sources []corev1.EnvFromSource, vars ...corev1.EnvVar) corev1.Container {
		return corev1.Container{EnvFrom: sources, Env: vars}
	}
	for _, c := range []struct {
		name string
		of   corev1.Container
		want string // name=value, in order
		err  string
	}{
		{"values", env(plainVar("A", "x"), plainVar("B", "$(A)$(C)$$(A)")), "A=x B=x$(C)$(A)", ""},
		{"the last of a name", env(plainVar("A", "x"), plainVar("A", "y")), "A=y", ""},
		{"of the pod", env(fieldVar("A", "metadata.name"), fieldVar("B", "metadata.namespace"), fieldVar("C", "metadata.uid")), "A=one B=default C=1", ""},
		{"of its description", env(fieldVar("A", "metadata.labels['app']"), fieldVar("B", "metadata.annotations['x/y']"), fieldVar("C", "metadata.labels['no']")), "A=shop B=z C=", ""},
		{"of its spec", env(fieldVar("A", "spec.nodeName"), fieldVar("B", "spec.serviceAccountName")), "A=a B=account", ""},
		{"of its addresses", env(fieldVar("A", "status.podIP"), fieldVar("B", "status.hostIP"), fieldVar("C", "status.podIPs"), fieldVar("D", "status.hostIPs")), "A=192.0.2.9 B=192.0.2.9 C=192.0.2.9 D=192.0.2.9", ""},
		{"of no field", env(fieldVar("A", "status.phase")), "", "unsupported fieldPath: status.phase"},
		{"limits", env(resourceVar("A", "", "limits.memory", ""), resourceVar("B", "", "limits.memory", "1Mi"), resourceVar("C", "", "limits.memory", "3Mi")), "A=104857600 B=100 C=34", ""},
		{"a limit that is not set", env(resourceVar("A", "", "limits.cpu", ""), resourceVar("B", "", "limits.cpu", "1m"), resourceVar("C", "", "limits.ephemeral-storage", "")), "A=4 B=4000 C=0", ""},
		{"requests", env(resourceVar("A", "", "requests.cpu", ""), resourceVar("B", "", "requests.cpu", "1m"), resourceVar("C", "", "requests.memory", "")), "A=1 B=250 C=0", ""},
		{"of another container", env(resourceVar("A", "other", "limits.cpu", "")), "A=3", ""},
		{"of no container", env(resourceVar("A", "no", "limits.cpu", "")), "", "container no not found"},
		{"of no resource", env(resourceVar("A", "", "limits.gpu", "")), "", "unsupported container resource: gpu"},
		{"neither limit nor request", env(resourceVar("A", "", "usage.cpu", "")), "", "unsupported container resource: usage.cpu"},
		{"of something new", env(corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{}}), "", "variable A refers to what is not supported here"},
		{"keys", env(secretVar("A", "s", "k", false), configVar("B", "c", "LEVEL", false), plainVar("C", "$(A)")), "A=secret B=debug C=secret", ""},
		{"a key that is missing", env(secretVar("A", "s", "no", false)), "", `couldn't find key no in secret "s"`},
		{"an optional key that is missing", env(secretVar("A", "s", "no", true), configVar("B", "c", "no", true)), "", ""},
		{"a Secret that is missing", env(secretVar("A", "no", "k", false)), "", `secret "no" not found`},
		{"a ConfigMap that is missing", from([]corev1.EnvFromSource{fromConfig("no", "", false)}), "", `configmap "no" not found`},
		{"optional ones that are missing", from([]corev1.EnvFromSource{fromConfig("no", "", true), fromSecret("no", "", true)}, secretVar("A", "no", "k", true)), "", ""},
		{"an optional one that nobody may read", env(secretVar("A", "mine", "k", true)), "", "kubectl create rolebinding"},
		{"an optional one that cannot be read", from([]corev1.EnvFromSource{fromConfig("slow", "", true)}), "", "deadline exceeded"},
		{"all of them", from([]corev1.EnvFromSource{fromConfig("c", "", false), fromSecret("s", "S_", false)}, plainVar("LEVEL", "info"), plainVar("X", "$(S_k)")),
			"LEVEL=info a b=odd S_LEVEL=of the secret S_k=secret X=secret", ""},
		{"what grows without end", env(growing()...), "", "more than"},
	} {
		pod := podWith(c.of)
		got, _, err := resolve(pod, pod.Spec.Containers[0], world(), onHost)
		var text []string
		for _, e := range got {
			text = append(text, e.Name+"="+e.Value)
			if e.ValueFrom != nil {
				t.Errorf("%s: %s is not resolved", c.name, e.Name)
			}
		}
		if is := strings.Join(text, " "); is != c.want {
			t.Errorf("%s: %q, want %q", c.name, is, c.want)
		}
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.err)
		}
	}
}

// growing are variables each of which is twice as long as the one before.
func growing() []corev1.EnvVar {
	vars := []corev1.EnvVar{plainVar("V0", "0123456789")}
	for i := range 60 {
		vars = append(vars, plainVar(fmt.Sprintf("V%d", i+1), fmt.Sprintf("$(V%d)$(V%d)", i, i)))
	}
	return vars
}

func TestKeysThatAreNoNamesAreSkipped(t *testing.T) {
	pod := podWith(corev1.Container{EnvFrom: []corev1.EnvFromSource{fromConfig("c", "P_", false)}})
	_, skipped, err := resolve(pod, pod.Spec.Containers[0], world(), onHost)
	must(t, err)
	if want := []string{`P_a=b of configmap "c"`}; !slices.Equal(skipped, want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
}

func TestAnAddressThatIsNotKnownIsWaitedFor(t *testing.T) {
	pod := podWith(corev1.Container{Env: []corev1.EnvVar{fieldVar("A", "status.podIP")}})
	if _, _, err := resolve(pod, pod.Spec.Containers[0], nil, host{}); !errors.Is(err, errNoAddress) {
		t.Errorf("error %v", err)
	}
}

// Each reference is read once, whatever refers to it.
func TestReferences(t *testing.T) {
	pod := podWith(corev1.Container{
		EnvFrom: []corev1.EnvFromSource{fromConfig("c", "", false), fromSecret("s", "", true), {}},
		Env:     []corev1.EnvVar{secretVar("A", "s", "k", false), configVar("B", "d", "k", false), plainVar("C", ""), fieldVar("D", "metadata.name")},
	})
	got := referencesOf(pod)
	want := []reference{{kindConfigMap, "default", "c"}, {kindConfigMap, "default", "d"}, {kindSecret, "default", "s"}}
	slices.SortFunc(got, func(a, b reference) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	if !slices.Equal(got, want) {
		t.Errorf("references %v, want %v", got, want)
	}
}
