package webhooks

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Version is the version of the body. Fields may be added to it; one that changes its
// meaning or goes makes another version.
const Version = "1"

// Failure is the body: an install that failed.
type Failure struct {
	Version string `json:"version"`
	// ID is the failure's own, the same whenever it is sent again.
	ID   string    `json:"id"`
	Time time.Time `json:"time"` // when the pod showed it
	// Reason and Message are what the pod's container shows.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Base    Base   `json:"base"`
	Pod     Pod    `json:"pod"`
	Module  Module `json:"module"`
}

// Base is where the install failed.
type Base struct {
	Environment string `json:"environment"`
	Identity    string `json:"identity"`
	Node        string `json:"node"`
}

// Pod is what asked for the module.
type Pod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	Container string    `json:"container"`
}

// Module is what was to be installed.
type Module struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	URL     string `json:"url"` // without credentials
}

// failing are the reasons that a container has whose module's install failed.
var failing = []string{plan.ReasonInstallFailed, plan.ReasonInstallBackOff, plan.ReasonVersionMismatch}

// remembered is of how many containers the last reason is known; of others it is what the
// pod showed before.
const remembered = 4096

// containerKey is a container of a pod.
type containerKey struct {
	pod  types.UID
	name string
}

// shown is which reason each container showed last.
type shown struct {
	mu      sync.Mutex
	reasons *simplelru.LRU[containerKey, string] // mu guards it
}

func newShown() *shown {
	reasons, err := simplelru.NewLRU[containerKey, string](remembered, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &shown{reasons: reasons}
}

// failures gives those that a pod shows with a status that was written, and did not show
// before it. What it showed before is what is remembered: what the caller knows of that may
// be older.
func (s *shown) failures(pod *corev1.Pod, before, status corev1.PodStatus, now time.Time) (all []Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range status.ContainerStatuses {
		key, is := containerKey{pod.UID, c.Name}, reasonOf(c)
		was, known := s.reasons.Get(key)
		if !known {
			was = reasonIn(before, c.Name)
		}
		s.reasons.Add(key, is)
		if is != was && slices.Contains(failing, is) {
			all = append(all, failureOf(pod, c, now))
		}
	}
	return all
}

// reasonOf is what a container waits for; empty where it does not.
func reasonOf(c corev1.ContainerStatus) string {
	if c.State.Waiting == nil {
		return ""
	}
	return c.State.Waiting.Reason
}

func reasonIn(status corev1.PodStatus, container string) string {
	for _, c := range status.ContainerStatuses {
		if c.Name == container {
			return reasonOf(c)
		}
	}
	return ""
}

func failureOf(pod *corev1.Pod, c corev1.ContainerStatus, now time.Time) Failure {
	f := Failure{
		Version: Version, ID: string(uuid.NewUUID()), Time: now.UTC(),
		Reason: c.State.Waiting.Reason, Message: tunnel.Say(c.State.Waiting.Message, tunnel.MaxText),
		Base: Base{Node: pod.Spec.NodeName}, Pod: Pod{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, Container: c.Name},
	}
	if id, ok := plan.BaseOf(pod.Spec.NodeName); ok {
		f.Base.Environment, f.Base.Identity = id.Env, id.Identity
	}
	for _, of := range pod.Spec.Containers {
		if of.Name == c.Name {
			key := plan.ModuleOf(of)
			f.Module = Module{Name: key.Name, Version: key.Version, URL: tunnel.Redact(of.Image)}
		}
	}
	return f
}
