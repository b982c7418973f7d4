package world

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// endpointLag is how much later than the API server a Service knows of a change: a
// kube-proxy or a load balancer is behind.
const endpointLag = time.Second

// Traffic is requests to the modules of pods, as a Service sends them: to the addresses of
// pods that are Ready and not being deleted, in turn, each on a connection of its own. It
// may be used from any goroutine.
type Traffic struct {
	end  func() // ends it, and waits until it has
	port int

	mu    sync.Mutex // mu guards what follows
	known []view     // the oldest is what the Service knows
	next  int
	seen  TrafficReport
}

// view is the endpoints that the API server showed from a moment on.
type view struct {
	at        time.Time
	addresses []string
}

// TrafficReport is what became of the requests.
type TrafficReport struct {
	Sent int
	// By counts the answers, by the module that gave them, name:version.
	By map[string]int
	// Lost are those without an answer, or with a bad one: when, to whom, and why.
	Lost []string
}

// StartTraffic sends requests to a port of the pods with a label until the test ends, some
// hundred a second. It returns when the first was answered.
func (w *World) StartTraffic(selector string, port int) *Traffic {
	w.Helper()
	const clients = 4
	ctx, cancel := context.WithCancel(w.Context())
	of, err := labels.Parse(selector)
	w.Must(err)
	factory := informers.NewSharedInformerFactoryWithOptions(w.cluster.Client, 0, informers.WithNamespace(w.Env),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector }))
	pods := factory.Core().V1().Pods().Lister()
	factory.Core().V1().Pods().Informer()
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	t := &Traffic{port: port, seen: TrafficReport{By: map[string]int{}}}
	var work sync.WaitGroup
	t.end = func() { cancel(); work.Wait(); factory.Shutdown() }
	w.Cleanup(t.end)
	t.follow(pods, of)
	work.Go(func() {
		wait.NonSlidingUntilWithContext(ctx, func(context.Context) { t.follow(pods, of) }, 50*time.Millisecond)
	})
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range clients {
		work.Go(func() {
			wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) { t.request(ctx, client) }, 20*time.Millisecond)
		})
	}
	w.Eventually(Timeout, func() error {
		if r := t.Report(); len(r.By) == 0 {
			return fmt.Errorf("%d requests, none was answered: %v", r.Sent, r.Lost)
		}
		return nil
	})
	return t
}

// follow notes which endpoints there are now.
func (t *Traffic) follow(lister corev1listers.PodLister, of labels.Selector) {
	pods, err := lister.List(of)
	if err != nil {
		return // a cache gives none
	}
	addresses := []string{}
	for _, p := range pods {
		if p.DeletionTimestamp == nil && p.Status.PodIP != "" && p.Status.Phase == corev1.PodRunning && PodReady(*p) {
			addresses = append(addresses, p.Status.PodIP)
		}
	}
	slices.Sort(addresses)
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.known); n == 0 || !slices.Equal(t.known[n-1].addresses, addresses) {
		t.known = append(t.known, view{now, addresses})
	}
	for len(t.known) > 1 && now.Sub(t.known[1].at) >= endpointLag {
		t.known = t.known[1:]
	}
}

// endpoint gives whose turn it is; empty where there is none.
func (t *Traffic) endpoint() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	addresses := t.known[0].addresses
	if len(addresses) == 0 {
		return ""
	}
	t.next++
	return addresses[t.next%len(addresses)]
}

func (t *Traffic) request(ctx context.Context, client *http.Client) {
	address, began := t.endpoint(), time.Now()
	by, err := ask(ctx, client, address, t.port)
	if ctx.Err() != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen.Sent++
	if err != nil {
		t.seen.Lost = append(t.seen.Lost, fmt.Sprintf("%s to %q: %v", began.Format("15:04:05.000"), address, err))
		return
	}
	t.seen.By[by]++
}

// ask sends one request, and gives who answered.
func ask(ctx context.Context, client *http.Client, address string, port int) (string, error) {
	if address == "" {
		return "", fmt.Errorf("no pod is an endpoint")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(address, strconv.Itoa(port))+"/", nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return string(body), err
}

// Report gives what became of the requests so far.
func (t *Traffic) Report() TrafficReport {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.seen
	r.By, r.Lost = maps.Clone(r.By), slices.Clone(r.Lost)
	return r
}

// Stop ends the requests, and gives what became of them.
func (t *Traffic) Stop() TrafficReport {
	t.end()
	return t.Report()
}
