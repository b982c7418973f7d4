package probes

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
)

const (
	maxBody      = 10 << 10 // bytes that are read of an answer
	maxRedirects = 10
)

func (m maker) http(ctx context.Context, q question, get *corev1.HTTPGetAction) finding {
	port, err := portOf(get.Port, q.container)
	if err != nil {
		return finding{unknown, err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, urlOf(get, q.host(get.Host), port).String(), nil)
	if err != nil {
		return finding{unknown, err.Error()}
	}
	req.Header = headersOf(get)
	req.Host = req.Header.Get("Host")
	client := &http.Client{Transport: m.plain, CheckRedirect: followSameHost}
	if get.Protocol != nil && *get.Protocol == corev1.HTTPProtocolHTTP2 {
		client.Transport = m.clear
	}
	answer, err := client.Do(req)
	if err != nil {
		return finding{failure(ctx, err), stable(err.Error())}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := readAtMost(answer.Body, maxBody)
	if err != nil {
		return finding{unknown, stable(err.Error())}
	}
	return judge(answer.StatusCode, body)
}

// judge says what an answer means. The body of a failure is not told: it may be anything.
func judge(status int, body string) finding {
	switch {
	case status < http.StatusOK, status >= http.StatusBadRequest:
		return finding{failed, fmt.Sprintf("HTTP probe failed with statuscode: %d", status)}
	case status >= http.StatusMultipleChoices:
		return finding{passed, "Probe terminated redirects, Response body: " + body}
	}
	return finding{outcome: passed}
}

// followSameHost follows redirects to the host that was asked.
func followSameHost(to *http.Request, via []*http.Request) error {
	switch {
	case to.URL.Hostname() != via[0].URL.Hostname():
		return http.ErrUseLastResponse
	case len(via) >= maxRedirects:
		return errors.New("stopped after 10 redirects")
	}
	return nil
}
