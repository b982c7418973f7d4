package provider

import (
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/version"
	discovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

// api is an API server in memory that also keeps what client-go's does not: versions,
// UIDs, preconditions, and the field that pods are selected by.
type api struct {
	*fake.Clientset
	react clienttesting.ReactionFunc

	mu sync.Mutex
	// mu guards what follows
	version int
	fails   map[string]error  // by verb and resource: "patch nodes"
	hooks   map[string]func() // run once, before the request
	pods    []corev1.Pod      // what the lists of a Node's pods have; nil for the truth
}

func newAPI(objects ...runtime.Object) *api {
	a := &api{version: 100, fails: map[string]error{}, hooks: map[string]func(){}}
	for _, o := range objects {
		a.number(o)
	}
	a.Clientset = fake.NewClientset(objects...)
	a.react = clienttesting.ObjectReaction(a.Tracker())
	a.PrependReactor("*", "*", a.handle)
	return a
}

// newMetadata is an API server in memory that gives objects without their specs.
func newMetadata(objects ...runtime.Object) *metadatafake.FakeMetadataClient {
	scheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(scheme); err != nil {
		panic(err)
	}
	return metadatafake.NewSimpleMetadataClient(scheme, objects...)
}

// number gives an object the next version, and a UID if it has none.
func (a *api) number(obj any) {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err)
	}
	m.SetResourceVersion(a.next())
	if m.GetUID() == "" {
		m.SetUID(types.UID("uid-" + m.GetResourceVersion()))
	}
}

func (a *api) next() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	return strconv.Itoa(a.version)
}

// failsWith has requests refused, by verb and resource; nil ends that.
func (a *api) failsWith(err error, requests ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, r := range requests {
		a.fails[r] = err
	}
}

// before has something happen just before the next such request is served.
func (a *api) before(request string, do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks[request] = do
}

// liesAboutPods has the lists of a Node's pods show these: the cache is behind them.
func (a *api) liesAboutPods(pods ...corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pods = pods
}

func (a *api) handle(action clienttesting.Action) (bool, runtime.Object, error) {
	if err := a.prelude(action.GetVerb() + " " + action.GetResource().Resource); err != nil {
		return true, nil, err
	}
	switch is := action.(type) {
	case clienttesting.CreateActionImpl:
		a.number(is.Object)
	case clienttesting.UpdateActionImpl:
		a.number(is.Object)
	case clienttesting.PatchActionImpl:
		return a.patch(is)
	case clienttesting.DeleteActionImpl:
		if want := is.DeleteOptions.Preconditions; want != nil && want.UID != nil {
			err := a.check(is.ActionImpl, is.Name, map[string]any{"uid": string(*want.UID)})
			return err != nil, nil, err
		}
	case clienttesting.ListActionImpl:
		return a.list(is)
	}
	return false, nil, nil
}

func (a *api) prelude(request string) error {
	a.mu.Lock()
	do, err := a.hooks[request], a.fails[request]
	delete(a.hooks, request)
	a.mu.Unlock()
	if do != nil {
		do()
	}
	return err
}

// check refuses a request about an object of another UID or version.
func (a *api) check(is clienttesting.ActionImpl, name string, want map[string]any) error {
	resource := is.Resource.GroupResource()
	obj, err := a.Tracker().Get(is.Resource, is.Namespace, name)
	if err != nil {
		return err
	}
	m, err := meta.Accessor(obj)
	if err != nil {
		return err
	}
	for field, has := range map[string]string{"uid": string(m.GetUID()), "resourceVersion": m.GetResourceVersion()} {
		if wants, ok := want[field].(string); ok && wants != has {
			return apierrors.NewConflict(resource, name, fmt.Errorf("its %s is %s, not %s", field, has, wants))
		}
	}
	return nil
}

func (a *api) patch(is clienttesting.PatchActionImpl) (bool, runtime.Object, error) {
	var patch map[string]any
	if err := json.Unmarshal(is.Patch, &patch); err != nil {
		return true, nil, err
	}
	metadata, _ := patch["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
	}
	if err := a.check(is.ActionImpl, is.Name, metadata); err != nil {
		return true, nil, err
	}
	metadata["resourceVersion"] = a.next()
	patch["metadata"] = metadata
	raw, err := json.Marshal(patch)
	if err != nil {
		return true, nil, err
	}
	is.Patch = raw
	return a.react(is)
}

func (a *api) list(is clienttesting.ListActionImpl) (bool, runtime.Object, error) {
	_, obj, err := a.react(is)
	if err != nil {
		return true, nil, err
	}
	list, err := meta.ListAccessor(obj)
	if err != nil {
		return true, nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	list.SetResourceVersion(strconv.Itoa(a.version))
	pods, ok := obj.(*corev1.PodList)
	node, only := is.ListRestrictions.Fields.RequiresExactMatch("spec.nodeName")
	switch {
	case !ok, !only:
	case a.pods != nil:
		pods.Items = a.pods
	default:
		var there []corev1.Pod
		for _, pod := range pods.Items {
			if pod.Spec.NodeName == node {
				there = append(there, pod)
			}
		}
		pods.Items = there
	}
	return true, obj, nil
}

// serves has the API server be of a version.
func (a *api) serves(gitVersion string) {
	a.Discovery().(*discovery.FakeDiscovery).FakedServerVersion = &version.Info{GitVersion: gitVersion}
}
