package pods

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
)

// What of a pod's status is this program's is what the planner owns: the fields that
// takeFields names, and the conditions. All else is of the scheduler, of controllers that
// set readiness gates, of the API server: it is never written back, for the cache may be
// older than what they wrote.

// ownPrefix begins the types of conditions that are this program's own.
const ownPrefix = "base.koupleless.io/"

func isOwn(t corev1.PodConditionType) bool {
	return slices.Contains(plan.OwnedConditions, t) || strings.HasPrefix(string(t), ownPrefix)
}

// takeFields sets the fields that are ours.
func takeFields(s *corev1.PodStatus, from corev1.PodStatus) {
	s.Phase, s.Reason, s.Message = from.Phase, from.Reason, from.Message
	s.PodIP, s.PodIPs, s.HostIP, s.HostIPs = from.PodIP, from.PodIPs, from.HostIP, from.HostIPs
	s.StartTime, s.ObservedGeneration = from.StartTime, from.ObservedGeneration
	s.ContainerStatuses, s.InitContainerStatuses, s.EphemeralContainerStatuses = from.ContainerStatuses, from.InitContainerStatuses, from.EphemeralContainerStatuses
}

// over gives a pod's status as it is once ours is written: what is of others is as they
// have it.
func over(theirs, ours corev1.PodStatus) corev1.PodStatus {
	s := theirs
	takeFields(&s, ours)
	s.Conditions = nil
	for _, c := range ours.Conditions {
		switch has := conditionOf(theirs, c.Type); {
		case isOwn(c.Type):
			s.Conditions = append(s.Conditions, c)
		case has != nil:
			s.Conditions = append(s.Conditions, *has)
		case c.Type == corev1.PodScheduled:
			s.Conditions = append(s.Conditions, c)
		}
	}
	for _, c := range theirs.Conditions {
		if !isOwn(c.Type) && conditionOf(s, c.Type) == nil {
			s.Conditions = append(s.Conditions, c)
		}
	}
	return s
}

// eitherOf gives the conditions that a pod may have which is written at this moment: what it
// had before, and what of ours it has then.
func eitherOf(before, after []corev1.PodCondition) []corev1.PodCondition {
	all := slices.Clone(before)
	for _, c := range after {
		if isOwn(c.Type) && !has(before, c.Type) {
			all = append(all, c)
		}
	}
	return all
}

func has(conditions []corev1.PodCondition, t corev1.PodConditionType) bool {
	return slices.ContainsFunc(conditions, func(c corev1.PodCondition) bool { return c.Type == t })
}

func conditionOf(s corev1.PodStatus, t corev1.PodConditionType) *corev1.PodCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == t {
			return &s.Conditions[i]
		}
	}
	return nil
}

// statusPatch makes a strategic merge patch that leads from any status to what is ours
// of one: what a merge would leave in place is nulled, replaced or deleted. It is bound to
// the pod's UID. What was are the conditions that the API server may have.
func statusPatch(pod *corev1.Pod, was []corev1.PodCondition, is corev1.PodStatus) ([]byte, error) {
	var fields corev1.PodStatus
	takeFields(&fields, is)
	status, err := object(fields)
	if err != nil {
		return nil, err
	}
	nullWhereAbsent(status, plan.OwnedFields...)
	for _, field := range []string{"podIPs", "hostIPs"} {
		if ips, ok := status[field].([]any); ok {
			status[field] = append([]any{map[string]any{"$patch": "replace"}}, ips...)
		}
	}
	conditions, err := conditionPatches(was, is)
	if err != nil {
		return nil, err
	}
	if len(conditions) > 0 {
		status["conditions"] = conditions
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
}

// conditionPatches has the conditions that are ours, and the deletions of those that are
// no more. That a pod is scheduled is told only where nobody did.
func conditionPatches(was []corev1.PodCondition, is corev1.PodStatus) (patches []any, err error) {
	for _, c := range is.Conditions {
		switch {
		case isOwn(c.Type):
		case c.Type == corev1.PodScheduled && !has(was, c.Type):
		default:
			continue
		}
		patch, err := object(c)
		if err != nil {
			return nil, err
		}
		nullWhereAbsent(patch, "reason", "message", "observedGeneration")
		patches = append(patches, patch)
	}
	for _, c := range was {
		if isOwn(c.Type) && conditionOf(is, c.Type) == nil {
			patches = append(patches, map[string]any{"$patch": "delete", "type": c.Type})
		}
	}
	return patches, nil
}

// object gives a value as JSON has it.
func object(v any) (map[string]any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var o map[string]any
	return o, json.Unmarshal(raw, &o)
}

func nullWhereAbsent(m map[string]any, keys ...string) {
	for _, key := range keys {
		if _, ok := m[key]; !ok {
			m[key] = nil
		}
	}
}

// terminal says that a pod has ended.
func terminal(s corev1.PodStatus) bool {
	return s.Phase == corev1.PodSucceeded || s.Phase == corev1.PodFailed
}
