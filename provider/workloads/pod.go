package workloads

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
	httptunnel "module-controller/tunnel/http"
)

// AnnotationIdentity on a Pod says which identity the base in it has: it may have no other.
const AnnotationIdentity = "base.koupleless.io/identity"

// LabelFind on a Pod, with the value "true", says that the base in it does not announce itself:
// it is to be asked. AnnotationPort says at which port, if not at DefaultPort.
const (
	LabelFind      = "base.koupleless.io/find"
	AnnotationPort = plan.LabelPort
	DefaultPort    = 1238
)

// pod is what is kept of a Pod. Of its metadata there is the name, the namespace, the UID
// and the resource version.
type pod struct {
	metav1.ObjectMeta
	addresses []netip.Addr
	identity  string
	// ended says that no base runs in it any more, or ever: its containers have ended and do
	// not start again, or it is a module's, whatever its labels say.
	ended bool
	// ends says that it is being deleted.
	ends bool
	// machine is the name of the Node on which it runs; empty until it is placed.
	machine string
	// shared says that its addresses are its machine's.
	shared bool
	// quiet is what is known of its base, if that does not announce itself.
	quiet *quiet
}

// quiet is what a Pod says of a base that does not announce itself.
type quiet struct {
	// port is 0 where the annotation is no port.
	port                   int
	name, version, cluster string
}

// quietOf is what a Pod says of its base; nil where the base is to announce itself.
func quietOf(full *corev1.Pod) *quiet {
	if full.Labels[LabelFind] != "true" {
		return nil
	}
	q := &quiet{port: DefaultPort, name: strings.Clone(full.Labels[plan.LabelBaseName]),
		version: strings.Clone(full.Labels[plan.LabelBaseVersion]), cluster: strings.Clone(full.Labels[plan.LabelCluster])}
	if text, ok := full.Annotations[AnnotationPort]; ok {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			port = 0
		}
		q.port = int(port)
	}
	return q
}

// shrink keeps of a Pod what is used: the cache has a fleet's Pods.
func shrink(obj any) (any, error) {
	full, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil // it was shrunk, or stands for one that was deleted unseen
	}
	return keptOf(full), nil
}

// keptOf is what is kept of a Pod. Copies let go of the text that it was decoded from.
func keptOf(full *corev1.Pod) *pod {
	p := &pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: strings.Clone(full.Name), Namespace: strings.Clone(full.Namespace),
			UID: types.UID(strings.Clone(string(full.UID))), ResourceVersion: strings.Clone(full.ResourceVersion),
		},
		identity: strings.Clone(full.Annotations[AnnotationIdentity]),
		ended:    full.Status.Phase == corev1.PodSucceeded || full.Status.Phase == corev1.PodFailed || onVNode(full),
		ends:     full.DeletionTimestamp != nil,
		machine:  strings.Clone(full.Spec.NodeName),
		shared:   full.Spec.HostNetwork,
		quiet:    quietOf(full),
	}
	ips := full.Status.PodIPs
	if len(ips) == 0 {
		ips = []corev1.PodIP{{IP: full.Status.PodIP}}
	}
	for _, ip := range ips {
		if a, err := netip.ParseAddr(ip.IP); err == nil {
			p.addresses = append(p.addresses, a.Unmap())
		}
	}
	return p
}

// onVNode says of a Pod that it is a module's. Its owner may change its labels, and it has
// its base's address: who is taken for that base must not be his choice.
func onVNode(p *corev1.Pod) bool {
	_, is := plan.BaseOf(p.Spec.NodeName)
	return is
}

// workload is the Pod in the tunnel's words.
func (p *pod) workload() httptunnel.Workload {
	return httptunnel.Workload{
		Name:      p.Namespace + "/" + p.Name + "/" + string(p.UID),
		Addresses: p.addresses, Identity: p.identity,
	}
}

// lasts is what of a Pod says how long it may be a base.
func lasts(obj any) (how struct{ ends, ended bool }) {
	if p, ok := obj.(*pod); ok {
		how.ends, how.ended = p.ends, p.ended
	}
	return how
}

// split takes a workload's name apart; ok is false for what is no Pod's.
func split(workload string) (namespace, name string, uid types.UID, ok bool) {
	parts := strings.Split(workload, "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return "", "", "", false
	}
	return parts[0], parts[1], types.UID(parts[2]), true
}

// The indexes of the cache.
const (
	byAddress  = "address"
	byUID      = "uid"
	byIdentity = "identity" // that it declares
	byQuiet    = "quiet"    // all whose bases do not announce themselves, under quietKey
)

const quietKey = "quiet"

var errNoPod = errors.New("the cache has something that is no Pod")

var indexers = cache.Indexers{
	byAddress: func(obj any) ([]string, error) {
		p, ok := obj.(*pod)
		if !ok {
			return nil, errNoPod
		}
		keys := make([]string, 0, len(p.addresses))
		for _, a := range p.addresses {
			keys = append(keys, a.String())
		}
		return keys, nil
	},
	byIdentity: func(obj any) ([]string, error) {
		p, ok := obj.(*pod)
		switch {
		case !ok:
			return nil, errNoPod
		case p.identity == "":
			return nil, nil
		}
		return []string{p.identity}, nil
	},
	byQuiet: func(obj any) ([]string, error) {
		p, ok := obj.(*pod)
		switch {
		case !ok:
			return nil, errNoPod
		case p.quiet == nil:
			return nil, nil
		}
		return []string{quietKey}, nil
	},
	byUID: func(obj any) ([]string, error) {
		p, ok := obj.(*pod)
		if !ok {
			return nil, errNoPod
		}
		return []string{string(p.UID)}, nil
	},
}
