package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Right is a right that the controller needs, or that somebody needs to install it.
type Right struct {
	Verb, Group, Resource, Namespace string
}

func (r Right) String() string {
	text := r.Verb + " " + r.Resource
	if r.Group != "" {
		text += "." + r.Group
	}
	if r.Namespace != "" {
		text += " in " + r.Namespace
	}
	return text
}

// Verdict is whether somebody has a right. Why is the authorizer's reason, or why it could
// not be asked.
type Verdict struct {
	Right
	Has, Asked bool
	Why        string
}

// Cluster is what was asked of the cluster beside the fleet.
type Cluster struct {
	// Account is the controller's service account, "namespace/name".
	Account string
	// Rights are the controller's, Own those of who asks, to install it.
	Rights, Own []Verdict
	// FlowSchema says what is wrong with the one that keeps Leases from being starved:
	// empty for nothing.
	FlowSchema string
	// Grace is what kube-controller-manager is told of the node-monitor-grace-period;
	// empty where it cannot be seen or says nothing of it.
	Grace string
}

// ReadCluster asks what rights the controller has and how the cluster treats it. Before it
// is installed (pre), it asks what rights the caller has instead.
func (r Reader) ReadCluster(ctx context.Context, account string, pre bool) (Cluster, error) {
	c := Cluster{Account: r.Namespace + "/" + account}
	ask := func(ctx context.Context) (err error) {
		c.Rights, err = r.verdicts(ctx, Rights(r.Namespace), r.asAccount(account))
		return err
	}
	if pre {
		ask = func(ctx context.Context) (err error) {
			c.Own, err = r.verdicts(ctx, installRights(r.Namespace), r.asSelf)
			return err
		}
	}
	err := together(ctx, ask,
		func(ctx context.Context) (err error) { c.FlowSchema, err = r.flowSchema(ctx); return err },
		func(ctx context.Context) (err error) { c.Grace, err = r.grace(ctx); return err })
	return c, err
}

// Rights are what manifests/rbac.yaml gives the controller in a namespace.
func Rights(namespace string) (all []Right) {
	for _, r := range []struct{ group, resource, namespace, verbs string }{
		{"", "nodes", "", "get list watch create patch delete"},
		{"", "nodes/status", "", "patch"},
		{"", "pods", "", "get list watch delete"},
		{"", "pods/status", "", "patch"},
		{"", "events", "", "create patch"},
		{"apps", "replicasets", "", "list watch"},
		{"apps", "controllerrevisions", "", "list watch"},
		{"networking.k8s.io", "servicecidrs", "", "list"},
		{"authentication.k8s.io", "tokenreviews", "", "create"},
		{"authorization.k8s.io", "subjectaccessreviews", "", "create"},
		{"coordination.k8s.io", "leases", corev1.NamespaceNodeLease, "get list watch create update delete"},
		{"coordination.k8s.io", "leases", namespace, "get list watch create update delete"},
	} {
		for verb := range strings.FieldsSeq(r.verbs) {
			all = append(all, Right{Verb: verb, Group: r.group, Resource: r.resource, Namespace: r.namespace})
		}
	}
	return all
}

// installRights are what applying the manifests needs.
func installRights(namespace string) []Right {
	return []Right{
		{"create", "", "namespaces", ""},
		{"create", "rbac.authorization.k8s.io", "clusterroles", ""},
		{"create", "rbac.authorization.k8s.io", "clusterrolebindings", ""},
		{"create", "rbac.authorization.k8s.io", "roles", corev1.NamespaceNodeLease},
		{"create", "apps", "statefulsets", namespace},
		{"create", "", "services", namespace},
		{"create", "", "serviceaccounts", namespace},
		{"create", "policy", "poddisruptionbudgets", namespace},
		{"create", "networking.k8s.io", "networkpolicies", namespace},
		{"create", "flowcontrol.apiserver.k8s.io", "flowschemas", ""},
		{"create", "admissionregistration.k8s.io", "validatingadmissionpolicies", ""},
	}
}

type verdictOf func(context.Context, authorizationv1.ResourceAttributes) (authorizationv1.SubjectAccessReviewStatus, error)

// verdicts asks for rights, some at a time.
func (r Reader) verdicts(ctx context.Context, rights []Right, ask verdictOf) ([]Verdict, error) {
	all := make([]Verdict, len(rights))
	errs := make([]error, len(rights))
	turns := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, right := range rights {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			all[i], errs[i] = verdict(ctx, right, ask)
		})
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func verdict(ctx context.Context, right Right, ask verdictOf) (Verdict, error) {
	resource, sub, _ := strings.Cut(right.Resource, "/")
	status, err := ask(ctx, authorizationv1.ResourceAttributes{
		Verb: right.Verb, Group: right.Group, Resource: resource, Subresource: sub, Namespace: right.Namespace, Version: "*",
	})
	switch {
	case apierrors.IsForbidden(err):
		return Verdict{Right: right, Why: err.Error()}, nil
	case err != nil:
		return Verdict{}, fmt.Errorf("ask who may %s: %w", right, err)
	}
	return Verdict{Right: right, Has: status.Allowed, Asked: true, Why: status.Reason}, nil
}

// asAccount asks for the controller's service account.
func (r Reader) asAccount(account string) verdictOf {
	return func(ctx context.Context, a authorizationv1.ResourceAttributes) (authorizationv1.SubjectAccessReviewStatus, error) {
		got, err := r.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + r.Namespace + ":" + account, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + r.Namespace, "system:authenticated"},
			ResourceAttributes: &a,
		}}, metav1.CreateOptions{})
		if err != nil {
			return authorizationv1.SubjectAccessReviewStatus{}, err
		}
		return got.Status, nil
	}
}

// asSelf asks for whoever asks.
func (r Reader) asSelf(ctx context.Context, a authorizationv1.ResourceAttributes) (authorizationv1.SubjectAccessReviewStatus, error) {
	got, err := r.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &a},
	}, metav1.CreateOptions{})
	if err != nil {
		return authorizationv1.SubjectAccessReviewStatus{}, err
	}
	return got.Status, nil
}

// flowSchema says what is wrong with the FlowSchema that keeps the controller's Leases from
// being starved, as manifests/availability.yaml has it; empty for nothing, and where it may
// not be read.
func (r Reader) flowSchema(ctx context.Context) (wrong string, err error) {
	all, err := r.Client.FlowcontrolV1().FlowSchemas().List(ctx, metav1.ListOptions{})
	switch {
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read FlowSchemas: %w", err)
	}
	wrong = "no FlowSchema names the service account of namespace " + r.Namespace
	for i := range all.Items {
		fs := &all.Items[i]
		if !selectsAccount(fs, r.Namespace) {
			continue
		}
		if wrong = dangling(fs); wrong == "" {
			return "", nil
		}
	}
	return wrong, nil
}

// dangling says that the priority level of a FlowSchema is not there; empty where it is.
func dangling(fs *flowcontrolv1.FlowSchema) string {
	for _, c := range fs.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling && c.Status == flowcontrolv1.ConditionTrue {
			return "FlowSchema " + fs.Name + " is dangling: " + c.Message
		}
	}
	return ""
}

func selectsAccount(fs *flowcontrolv1.FlowSchema, namespace string) bool {
	for _, rule := range fs.Spec.Rules {
		for _, s := range rule.Subjects {
			if s.ServiceAccount != nil && s.ServiceAccount.Namespace == namespace {
				return true
			}
		}
	}
	return false
}

// grace reads --node-monitor-grace-period of kube-controller-manager, where it is a pod that
// can be seen.
func (r Reader) grace(ctx context.Context) (string, error) {
	pods, err := r.Client.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=kube-controller-manager"})
	switch {
	case apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read kube-controller-manager: %w", err)
	}
	for _, p := range pods.Items {
		for _, c := range p.Spec.Containers {
			for _, arg := range append(c.Command, c.Args...) {
				if value, is := strings.CutPrefix(arg, "--node-monitor-grace-period="); is {
					return value, nil
				}
			}
		}
	}
	return "", nil
}
