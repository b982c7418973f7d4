package provider

import (
	"context"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"module-controller/provider/plan"
)

// podsPause is how soon it is looked again whether the cache has caught up.
const podsPause = 200 * time.Millisecond

// seesPods says whether the pods that a plan was made of are as new as the claim. A
// watch of pods may lag behind the one of Leases that told of the claim: what the
// owner before did for a pod that is deleted since would be done again. So before
// the first command of a claim the API server itself is asked.
func (p *Provider) seesPods(ctx context.Context, b *base, seen []plan.Pod) bool {
	if b.seesPods {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	live, err := p.deps.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{
		LabelSelector: plan.LabelComponent + "=" + plan.ComponentModule,
		FieldSelector: fields.OneTermEqualSelector("spec.nodeName", b.node).String(),
	})
	if err != nil {
		p.log.Info("pods not read", zap.Stringer("base", b.id), zap.Error(err))
		return false
	}
	b.seesPods = upToDate(seen, live)
	return b.seesPods
}

// upToDate says whether pods that were seen are as new as a list.
func upToDate(seen []plan.Pod, live *corev1.PodList) bool {
	older := func(a, b string) bool {
		order, err := resourceversion.CompareResourceVersion(a, b)
		return err != nil || order < 0
	}
	versions := map[types.UID]string{}
	for _, pod := range seen {
		if !pod.Gone {
			versions[pod.UID] = pod.ResourceVersion
		}
	}
	for _, pod := range live.Items {
		if version, there := versions[pod.UID]; !there || older(version, pod.ResourceVersion) {
			return false
		}
		delete(versions, pod.UID)
	}
	for _, version := range versions { // deleted, unless they came after
		if !older(live.ResourceVersion, version) {
			return false
		}
	}
	return true
}
