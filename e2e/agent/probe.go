package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probeURL gives where a probe asks, given where the process's ports are.
func probeURL(get *corev1.HTTPGetAction, c corev1.Container, ports map[string]int) (string, error) {
	host := get.Host
	if host == "" {
		host = podIP
	}
	port := get.Port.IntValue()
	for _, p := range c.Ports {
		if get.Port == intstr.FromString(p.Name) || get.Port == intstr.FromInt32(p.ContainerPort) {
			port = ports[p.Name]
		}
	}
	if port == 0 {
		return "", fmt.Errorf("find the port %s of a probe", get.Port.String())
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(port)) + get.Path, nil
}

// probe asks as a probe says until ctx ends, and reports what it found whenever that
// changes: nil is success.
func probe(ctx context.Context, p *corev1.Probe, url string, found func(error)) {
	delay := time.NewTimer(time.Duration(p.InitialDelaySeconds) * time.Second)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(time.Duration(p.PeriodSeconds) * time.Second)
	defer tick.Stop()
	reported, was, streak := false, false, int32(0)
	for {
		err := ask(ctx, p, url)
		if ctx.Err() != nil {
			return
		}
		good := err == nil
		threshold := p.FailureThreshold
		if good {
			threshold = p.SuccessThreshold
		}
		switch {
		case reported && good == was:
			streak = 0
		default:
			if streak++; streak >= threshold {
				reported, was, streak = true, good, 0
				found(err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// ask asks once.
func ask(ctx context.Context, p *corev1.Probe, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.TimeoutSeconds)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	for _, h := range p.HTTPGet.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
	}
	// A connection of its own leaves nothing behind; a redirect is a success.
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // only the status counts
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest {
		return errors.New(resp.Status)
	}
	return nil
}
