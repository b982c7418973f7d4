package workloads

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"module-controller/internal/tokens"
	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
)

// Config are the settings. The zero value of each means its default.
type Config struct {
	// Selector picks the Pods in which bases may run, as kubectl takes it. Default:
	// those with the label base.koupleless.io/stack. Module pods are never among them.
	Selector string
	// Namespaces are those whose Pods may be bases. Default: all.
	Namespaces []string
	// Find says that bases are asked that do not announce themselves, in Pods with LabelFind.
	Find bool
}

// Audience is whom a base's token must be for.
const Audience = "module-controller"

// Complete fills in the defaults.
func (c Config) Complete() Config {
	c.Selector = cmp.Or(c.Selector, "base.koupleless.io/stack")
	return c
}

// Validate reports every fault of a completed configuration at once.
func (c Config) Validate() error {
	var errs []error
	if _, err := labels.Parse(c.Selector); err != nil {
		errs = append(errs, fmt.Errorf("BASE_POD_SELECTOR %q must be a label selector: %w", c.Selector, err))
	}
	for _, ns := range c.Namespaces {
		if faults := validation.IsDNS1123Label(ns); len(faults) > 0 {
			errs = append(errs, fmt.Errorf("BASE_NAMESPACES: %q is no namespace: %s", ns, strings.Join(faults, "; ")))
		}
	}
	return errors.Join(errs...)
}

// selector picks what Selector does, without module pods: they run in a base's own Pod.
func (c Config) selector() string {
	return c.Selector + "," + plan.LabelComponent + "!=" + plan.ComponentModule
}

// Deps are what Pods work with. All are needed.
type Deps struct {
	Client kubernetes.Interface
	// Reviews are of tokens.
	Reviews authentication.TokenReviewInterface
	// Recorder gets the Events on Pods whose heartbeats are refused.
	Recorder record.EventRecorder
	Log      *zap.Logger
}

// Pods are the Pods in which bases may run.
type Pods struct {
	cfg      Config
	log      *zap.Logger
	caches   []cache.SharedIndexInformer // one for each of the namespaces, or one for all
	machines cache.SharedIndexInformer
	unseen   *unseen
	reviewer *tokens.Reviewer
	refusals *refusals
	known    chan struct{} // closed once all Pods were seen
}

var _ httptunnel.Workloads = (*Pods)(nil)

// New checks the configuration, completed with defaults, and makes Pods. It starts nothing.
func New(cfg Config, deps Deps) (*Pods, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure workloads: %w", err)
	}
	client, log := deps.Client, deps.Log
	p := &Pods{cfg: cfg, log: log, refusals: newRefusals(client, deps.Recorder, log), known: make(chan struct{})}
	namespaces := cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, ns := range namespaces {
		c := informers.NewFilteredPodInformer(client, ns, 0, indexers, func(o *metav1.ListOptions) { o.LabelSelector = cfg.selector() })
		if err := c.SetTransform(shrink); err != nil {
			return nil, fmt.Errorf("watch Pods that may be bases: %w", err)
		}
		p.caches = append(p.caches, c)
	}
	var err error
	if p.unseen, err = newUnseen(client, cfg.selector(), log); err != nil {
		return nil, err
	}
	for _, c := range p.caches {
		if _, err := c.AddEventHandler(p.unseen.handler()); err != nil {
			return nil, fmt.Errorf("watch Pods that may be bases: %w", err)
		}
	}
	if p.machines, err = newMachines(client); err != nil {
		return nil, fmt.Errorf("watch machines: %w", err)
	}
	p.reviewer = tokens.New(deps.Reviews, tokens.Config{Audience: Audience, Look: p.look})
	return p, nil
}

// Run watches Pods until ctx ends, and returns when all that it started has ended. It is
// called once.
func (p *Pods) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range append([]cache.SharedIndexInformer{p.machines}, p.caches...) {
		wg.Go(func() { c.RunWithContext(ctx) })
	}
	wg.Go(func() { p.unseen.run(ctx) })
	wg.Go(func() { p.refusals.run(ctx) })
	if cache.WaitForCacheSync(ctx.Done(), p.hasSynced()...) {
		close(p.known)
		p.log.Info("Pods that may be bases are known", zap.Int("pods", p.count()), zap.String("selector", p.cfg.Selector))
	}
	<-ctx.Done()
	return nil
}

// Known is closed once all Pods were seen.
func (p *Pods) Known() <-chan struct{} { return p.known }

// Synced says whether all Pods were seen. Until then nobody is known, and nobody is gone.
func (p *Pods) Synced() bool {
	return !slices.ContainsFunc(p.hasSynced(), func(synced cache.InformerSynced) bool { return !synced() })
}

func (p *Pods) hasSynced() (all []cache.InformerSynced) {
	all = append(all, p.machines.HasSynced) // or a Node would be without a zone for a moment
	for _, c := range p.caches {
		all = append(all, c.HasSynced)
	}
	return all
}

func (p *Pods) count() (n int) {
	for _, c := range p.caches {
		n += len(c.GetStore().ListKeys())
	}
	return n
}

// find gives the Pods that an index has under a key.
func (p *Pods) find(index, key string) (found []*pod) {
	for _, c := range p.caches {
		objs, err := c.GetIndexer().ByIndex(index, key)
		if err != nil {
			continue // there is such an index
		}
		for _, obj := range objs {
			if one, ok := obj.(*pod); ok {
				found = append(found, one)
			}
		}
	}
	return found
}

// unsynced says that nobody is known yet.
var errUnsynced = fmt.Errorf("%w: the Pods that may be bases are not known yet, try again", httptunnel.ErrUnreviewed)

// At implements httptunnel.Workloads: the address must be of one Pod alone that has not
// ended. One that is being deleted has its address until it is gone.
func (p *Pods) At(addr netip.Addr) (httptunnel.Workload, error) {
	if !p.Synced() {
		return httptunnel.Workload{}, errUnsynced
	}
	addr = addr.Unmap()
	live := p.at(addr)
	switch {
	case len(live) == 0:
		return httptunnel.Workload{}, p.refuse("no Pod that matches the selector %q%s has address %s: label the Pod, or set BASE_POD_SELECTOR or BASE_NAMESPACES", p.cfg.Selector, p.where(), addr)
	case slices.ContainsFunc(live, func(p *pod) bool { return p.shared }):
		return httptunnel.Workload{}, p.refuse("%s is the address of a machine, which all its Pods with hostNetwork share: run Pod %s/%s without it, or set HTTP_TUNNEL_AUTH to token or certificate", addr, live[0].Namespace, live[0].Name)
	case len(live) > 1:
		// The address of one that has just ended was given away at once.
		return httptunnel.Workload{}, fmt.Errorf("%w: Pods %s/%s and %s/%s have address %s, try again", httptunnel.ErrUnreviewed,
			live[0].Namespace, live[0].Name, live[1].Namespace, live[1].Name, addr)
	}
	return live[0].workload(), nil
}

// at gives the Pods that have an address and have not ended.
func (p *Pods) at(addr netip.Addr) []*pod {
	return slices.DeleteFunc(p.find(byAddress, addr.String()), func(p *pod) bool { return p.ended })
}

// Declaring implements httptunnel.Workloads.
func (p *Pods) Declaring(identity string) string {
	for _, one := range p.find(byIdentity, identity) {
		if !one.ended {
			return one.workload().Name
		}
	}
	return ""
}

// Quiet gives the Pods whose bases do not announce themselves: those with LabelFind that run,
// alone at their addresses.
func (p *Pods) Quiet() (all []httptunnel.Quiet) {
	if !p.Synced() {
		return nil
	}
	for _, one := range p.find(byQuiet, quietKey) {
		if one.ended || one.ends || one.shared || len(one.addresses) == 0 {
			continue
		}
		q := httptunnel.Quiet{Workload: one.workload(), Port: one.quiet.port}
		q.Base.Name, q.Base.Version, q.Base.Cluster, q.Base.Hostname = one.quiet.name, one.quiet.version, one.quiet.cluster, one.Name
		all = append(all, q)
	}
	return all
}

// where says which namespaces are looked at.
func (p *Pods) where() string {
	if len(p.cfg.Namespaces) == 0 {
		return ""
	}
	return fmt.Sprintf(" in namespaces %s", strings.Join(p.cfg.Namespaces, ", "))
}

func (p *Pods) refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{httptunnel.ErrNoWorkload}, args...)...)
}

// The extra fields of a user whose token is bound to a Pod.
const (
	extraPodName = "authentication.kubernetes.io/pod-name"
	extraPodUID  = "authentication.kubernetes.io/pod-uid"
)

// OfToken implements httptunnel.Workloads. The token must be a service account's, for our
// audience, and bound to a Pod that may be a base.
//
// NB: a Pod with hostNetwork has its machine's addresses, which others of its kind have too.
func (p *Pods) OfToken(ctx context.Context, token string) (httptunnel.Workload, error) {
	if !p.Synced() {
		return httptunnel.Workload{}, errUnsynced
	}
	user, err := p.reviewer.Review(ctx, token)
	switch {
	case errors.Is(err, tokens.ErrUnreviewed):
		return httptunnel.Workload{}, fmt.Errorf("%w: %w", httptunnel.ErrUnreviewed, err)
	case err != nil:
		return httptunnel.Workload{}, p.refuse("%w", err)
	}
	name, uid := only(user, extraPodName), only(user, extraPodUID)
	if uid == "" {
		return httptunnel.Workload{}, p.refuse(boundToNoPod, user.Username)
	}
	one, err := p.live(uid)
	switch {
	case err != nil:
		return httptunnel.Workload{}, err
	case one.Name != name:
		return httptunnel.Workload{}, p.refuse("the token's Pod %s is not %s/%s, whose UID it has", name, one.Namespace, one.Name)
	}
	return one.workload(), nil
}

const boundToNoPod = "the token of %q is bound to no Pod: mount a projected serviceAccountToken with audience " + Audience

// only gives a field of a user that has one value.
func only(u authenticationv1.UserInfo, field string) string {
	if values := u.Extra[field]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// look refuses tokens that name no Pod of ours before they cost a review.
func (p *Pods) look(c tokens.Claims) error {
	if c.PodUID == "" {
		return fmt.Errorf(boundToNoPod, c.Subject)
	}
	_, err := p.live(c.PodUID)
	return err
}

// live gives the Pod of a UID that has not ended.
func (p *Pods) live(uid string) (*pod, error) {
	for _, one := range p.find(byUID, uid) {
		if !one.ended {
			return one, nil
		}
	}
	return nil, p.refuse("no Pod that matches the selector %q%s has the token's UID %q: label the Pod, or set BASE_POD_SELECTOR or BASE_NAMESPACES", p.cfg.Selector, p.where(), uid)
}

// Place gives what is known of a workload. It has ended if its Pod is in the cluster no more,
// has ended, or may be a base no more because its labels changed. One that the watch has not
// shown is unseen until the API server says what it is: the watch may be behind.
func (p *Pods) Place(workload string) plan.Place {
	namespace, _, uid, ok := split(workload)
	if !ok || !p.watched(namespace) || !p.Synced() {
		return plan.Place{}
	}
	one, ok := p.sight(workload, string(uid))
	switch {
	case !ok:
		return plan.Place{Workload: plan.WorkloadUnseen}
	case one == nil, one.ended:
		return plan.Place{Workload: plan.WorkloadEnded}
	}
	on := p.machine(one.machine)
	place := plan.Place{Machine: one.machine, Zone: on.zone, Region: on.region}
	if one.ends {
		place.Workload = plan.WorkloadEnds
	}
	return place
}

// sight gives a workload's Pod, nil for one that is gone; ok is false while neither is known.
func (p *Pods) sight(workload, uid string) (one *pod, ok bool) {
	if found := p.find(byUID, uid); len(found) > 0 {
		return found[0], true
	}
	return p.unseen.get(workload, time.Now())
}

// Watch has changed called with each workload whose place may differ from before. It must
// not block. It is called before Run.
func (p *Pods) Watch(changed func(workload string)) error {
	p.unseen.changed = append(p.unseen.changed, changed)
	return nil
}

// watched says whether a namespace's Pods are looked at.
func (p *Pods) watched(namespace string) bool {
	return len(p.cfg.Namespaces) == 0 || slices.Contains(p.cfg.Namespaces, namespace)
}
