package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTheSameModuleTwice(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("first", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.pod("second", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.want(t, map[string]string{"first": "Running", "second": ReasonDuplicate}, "orders:1")
	s.delete("first")
	s.rounds(3)
	s.want(t, map[string]string{"first": "gone", "second": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1")
}

func TestALaterRevisionTakesTheSameVersionOver(t *testing.T) {
	s := newSim(overMQTT)
	yes := true
	revise := func(p *corev1.Pod, hash string) {
		p.Labels = map[string]string{"pod-template-hash": hash}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: hash, Controller: &yes}}
	}
	revise(s.pod("old", "orders", "1", urlOf("orders", "1")), "aaa")
	s.rounds(3)
	revise(s.pod("new", "orders", "1", urlOf("orders", "1")), "bbb")
	s.rounds(5)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:1")
	s.delete("old")
	s.rounds(5)
	s.want(t, map[string]string{"old": "gone", "new": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
}
