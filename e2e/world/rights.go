package world

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

// right is one verb on one resource, which may be a subresource: what one line of a
// rule grants. Namespace is empty where it is granted in all.
type right struct{ verb, group, resource, namespace string }

func (r right) String() string {
	text := r.verb + " " + r.resource
	if r.group != "" {
		text += "." + r.group
	}
	if r.namespace != "" {
		text += " in " + r.namespace
	}
	return text
}

// denials are what tests have replicas be denied on purpose. They may be used from any
// goroutine.
type denials struct {
	mu      sync.Mutex
	allowed sets.Set[right] // mu guards what follows
	starts  []span          // of the API server, that a test made
}

// span is a time of the API server's host, which is ours.
type span struct{ from, until time.Time }

// rolesKnown is how long after it says that it is ready an API server may still not know all
// roles.
const rolesKnown = 5 * time.Second

// RestartAPIServer starts the API server again that a test has killed, and waits until it
// answers. Until it knows all roles it may deny what is granted.
func (w *World) RestartAPIServer() {
	w.Helper()
	from := time.Now()
	w.Must(w.cluster.Plane.Restart(w.Context(), controlplane.APIServer))
	w.AwaitAPI()
	d := &w.cluster.denied
	d.mu.Lock()
	defer d.mu.Unlock()
	d.starts = append(d.starts, span{from, time.Now().Add(rolesKnown)})
}

// starting says whether a test had the API server start then.
func (d *denials) starting(at time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.starts, func(s span) bool { return !at.Before(s.from) && at.Before(s.until) })
}

// MayBeDenied says that replicas may be refused a resource, such as "secrets", in the
// World's namespace: the test is about that.
func (w *World) MayBeDenied(resource string) {
	d := &w.cluster.denied
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.allowed == nil {
		d.allowed = sets.New[right]()
	}
	d.allowed.Insert(right{resource: resource, namespace: w.Env})
}

func (d *denials) expected(r right) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.allowed.Has(right{resource: r.resource, namespace: r.namespace})
}

// judgeRights compares what replicas may do with what they asked for.
func (c *Cluster) judgeRights() error {
	if !c.JudgesRights {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	always, bound, err := c.granted(ctx)
	if err != nil {
		return err
	}
	used, faults, err := c.asked(always)
	if err != nil {
		return err
	}
	if ranAll() {
		faults = append(faults, c.unused(slices.Concat(always, bound), used)...)
	}
	if len(faults) > 0 {
		return errors.New(strings.Join(faults, "\n"))
	}
	return nil
}

// asked gives the rights that replicas used, and what they were denied. What RBAC denied
// although it is granted is no fault while a test had the API server start.
func (c *Cluster) asked(granted []right) (used sets.Set[right], denied []string, err error) {
	used, told := sets.New[right](), sets.New[string]()
	err = c.audit.read(0, []byte(serviceAccounts), func(e entry) {
		name, replica := installationOf(e.User.Username)
		switch r := rightOf(e, name); {
		case !replica || !e.byReplica():
		case !refused(e):
			used.Insert(r)
		case !byPolicy(e) && slices.ContainsFunc(granted, r.under) && c.denied.starting(e.Received):
		case !c.denied.expected(r):
			told.Insert(fmt.Sprintf("replicas were denied: %s %s: %s", r, e.ObjectRef.Name, e.ResponseStatus.Message))
		}
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the audit log: %w", err)
	}
	return used, sets.List(told), nil
}

// rightOf gives the right that a request needed. The namespace of the installation that
// asked stands for that of the manifests.
func rightOf(e entry, installation string) right {
	o := e.ObjectRef
	r := right{verb: e.Verb, group: o.APIGroup, resource: o.Resource, namespace: o.Namespace}
	if o.Subresource != "" {
		r.resource += "/" + o.Subresource
	}
	if o.Namespace != "" && o.Namespace == installation {
		r.namespace = harness.Namespace
	}
	return r
}

// refused says whether the authorizer or a policy of ours refused a request. A namespace
// that ends refuses new objects too; that is no question of rights.
func refused(e entry) bool {
	return e.Annotations["authorization.k8s.io/decision"] == "forbid" || byPolicy(e)
}

func byPolicy(e entry) bool {
	return strings.Contains(e.ResponseStatus.Message, "ValidatingAdmissionPolicy")
}

// granted gives what the manifests let replicas do: always, and in namespaces that are
// bound.
func (c *Cluster) granted(ctx context.Context) (always, bound []right, err error) {
	roles := c.Client.RbacV1()
	for _, name := range []string{"module-controller", "module-controller-peer-deployments"} {
		role, err := roles.ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, nil, fmt.Errorf("read the rights: %w", err)
		}
		always = append(always, rightsOf(role.Rules, "")...)
	}
	for _, namespace := range []string{"kube-node-lease", harness.Namespace} {
		role, err := roles.Roles(namespace).Get(ctx, "module-controller", metav1.GetOptions{})
		if err != nil {
			return nil, nil, fmt.Errorf("read the rights: %w", err)
		}
		always = append(always, rightsOf(role.Rules, namespace)...)
	}
	for _, name := range []string{"module-controller-environment", "module-controller-logs"} {
		role, err := roles.ClusterRoles().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return nil, nil, fmt.Errorf("read the rights: %w", err)
		}
		bound = append(bound, rightsOf(role.Rules, "")...)
	}
	return always, bound, nil
}

func rightsOf(rules []rbacv1.PolicyRule, namespace string) (all []right) {
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					all = append(all, right{verb, group, resource, namespace})
				}
			}
		}
	}
	return all
}

// unused tells what was granted and not used, and what is Unused and was used.
func (c *Cluster) unused(granted []right, used sets.Set[right]) (faults []string) {
	for _, r := range granted {
		switch is, was := slices.Contains(c.Unused, r.String()), wasUsed(r, used); {
		case !was && !is:
			faults = append(faults, "no replica used the right: "+r.String())
		case was && is:
			faults = append(faults, "a replica used what no test was to use: "+r.String())
		}
	}
	return faults
}

// under says whether a right was granted: in its namespace, or in all.
func (r right) under(granted right) bool {
	if granted.namespace == "" {
		r.namespace = ""
	}
	return r == granted
}

// wasUsed says whether a right was used. What is watched is listed where the API server
// cannot begin a watch with what there is, as those before 1.34.
func wasUsed(granted right, used sets.Set[right]) bool {
	for r := range used {
		if r.verb == "watch" && granted.verb == "list" {
			r.verb = "list"
		}
		if r.under(granted) {
			return true
		}
	}
	return false
}

// ranAll says whether the package's tests were not chosen among.
func ranAll() bool {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f == nil || f.Value.String() != "" {
			return false
		}
	}
	return true
}
