package controlplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// tailBytes is how much of a failed component's log an error carries.
const tailBytes = 4 << 10

// serving gives the check that a component serves, or nil where it serves nobody.
func (c *ControlPlane) serving(component Component) func(context.Context) error {
	switch component {
	case Etcd:
		return c.etcdServes
	case APIServer:
		return c.apiServes
	default:
		return nil
	}
}

func (c *ControlPlane) etcdServes(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+local(c.ports.etcd)+"/health", nil)
	if err != nil {
		return err
	}
	// A connection of its own leaves nothing behind.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", req.URL, resp.Status)
	}
	return nil
}

func (c *ControlPlane) apiServes(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// knowsRoles checks that the API server not only wrote the roles of its controllers
// but has seen them: for a moment after its first start it refuses them what they ask.
func (c *ControlPlane) knowsRoles(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	for _, user := range []string{controllerManagerUser, schedulerUser} {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "namespaces"},
		}}
		answer, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if !answer.Status.Allowed {
			return fmt.Errorf("%s may not list namespaces: %s", user, answer.Status.Reason)
		}
	}
	return nil
}

// permitAtKubelets lets the API server ask kubelets, which ask the API server whether it may.
func (c *ControlPlane) permitAtKubelets(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: kubeletClient},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: kubeletAPIRole},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: kubeletClient}},
	}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("let the API server ask kubelets: %w", err)
	}
	return nil
}

// hasNamespaces checks that the API server made its namespaces and that the
// controller manager gave the first of them its service account, which pods need.
func (c *ControlPlane) hasNamespaces(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().Namespaces().Get(ctx, corev1.NamespaceNodeLease, metav1.GetOptions{}); err != nil {
		return err
	}
	_, err = client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
	return err
}

// until asks check every 50 ms, each time for at most 5 s, until it is content, the
// component ended, or ctx did.
func (c *ControlPlane) until(ctx context.Context, component Component, check func(context.Context) error) error {
	p, err := c.process(component)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", component, err)
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := check(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-p.Done():
			return fmt.Errorf("%s ended (%w); %s ends:\n%s", component, p.Err(), c.logFile(component), tail(c.logFile(component)))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w; %s ends:\n%s",
				component, context.Cause(ctx), err, c.logFile(component), tail(c.logFile(component)))
		}
	}
}

// tail gives the end of a file.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, io.SeekEnd)
	}
	content, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(content)
}
