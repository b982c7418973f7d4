package main

import (
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// redacted gives pods without what may be secret: values of environments, arguments, commands
// and headers of probes, what URLs of images keep secret, and annotations, where kubectl keeps
// the whole object. Hooks, and containers that were put in to look around, are left out.
func redacted(pods []corev1.Pod) []corev1.Pod {
	clean := make([]corev1.Pod, 0, len(pods))
	for i := range pods {
		p := pods[i].DeepCopy()
		p.ManagedFields, p.Spec.EphemeralContainers = nil, nil
		for key := range p.Annotations {
			if key != plan.AnnotationReplace {
				p.Annotations[key] = tunnel.Hidden
			}
		}
		for _, list := range [][]corev1.Container{p.Spec.InitContainers, p.Spec.Containers} {
			for j := range list {
				redact(&list[j])
			}
		}
		for j := range p.Status.ContainerStatuses {
			c := &p.Status.ContainerStatuses[j]
			c.Image, c.ImageID = tunnel.Redact(c.Image), tunnel.Redact(c.ImageID)
		}
		clean = append(clean, *p)
	}
	return clean
}

// kept are variables whose values say nothing secret and much of a bug.
var kept = map[string]bool{plan.EnvName: true, plan.EnvVersion: true, "ENV": true, "ENABLE_MQTT_TUNNEL": true, "ENABLE_HTTP_TUNNEL": true,
	"MQTT_BROKER": true, "MQTT_PORT": true, "HTTP_TUNNEL_AUTH": true, "NODE_MONITOR_GRACE": true, "BASES_PER_REPLICA": true}

func redact(c *corev1.Container) {
	c.Image = tunnel.Redact(c.Image)
	for i := range c.Env {
		if c.Env[i].Value != "" && !kept[c.Env[i].Name] {
			c.Env[i].Value = tunnel.Hidden
		}
	}
	hide(c.Command)
	hide(c.Args)
	c.Lifecycle = nil
	for _, p := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
		redactProbe(p)
	}
}

func redactProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	if p.Exec != nil {
		hide(p.Exec.Command)
	}
	if p.HTTPGet != nil {
		p.HTTPGet.Path = tunnel.Redact(p.HTTPGet.Path)
		for i := range p.HTTPGet.HTTPHeaders {
			p.HTTPGet.HTTPHeaders[i].Value = tunnel.Hidden
		}
	}
}

func hide(words []string) {
	for i := range words {
		words[i] = tunnel.Hidden
	}
}
