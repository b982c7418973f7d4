package world

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

// StartCluster starts a Cluster of one test's own, which ends with it: whatever another test
// left does not count. It has no audit log, which would cost the API server, so no Recorder
// can be had, and what its World leaves is not deleted. args are more of the API server's.
func StartCluster(tb testing.TB, args ...string) *Cluster {
	tb.Helper()
	c := &Cluster{own: true}
	tb.Cleanup(func() {
		if c.Plane != nil {
			if err := c.Plane.Stop(); err != nil {
				tb.Error(err)
			}
		}
		if tb.Failed() {
			tb.Log("logs are in", c.Dir)
			return
		}
		if err := os.RemoveAll(c.Dir); err != nil {
			tb.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(tb.Context(), startTimeout)
	defer cancel()
	if err := c.startOwn(ctx, args); err != nil {
		tb.Fatal(err)
	}
	return c
}

// startOwn is start without an audit log, and with a client that costs the API server little:
// what a test asks is in what it measures.
func (c *Cluster) startOwn(ctx context.Context, args []string) (err error) {
	if c.Dir, err = os.MkdirTemp("", "module-controller-e2e-"); err != nil {
		return err
	}
	c.installations = newInstallations(c.Dir)
	if c.Bin, err = harness.Build(ctx, c.Dir, os.Stderr); err != nil {
		return err
	}
	if c.Plane, err = controlplane.Start(ctx, controlplane.Options{Log: os.Stderr, Args: map[controlplane.Component][]string{controlplane.APIServer: args}}); err != nil {
		return err
	}
	config := c.Plane.Config()
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeProtobuf, runtime.ContentTypeProtobuf
	if c.Client, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	return harness.ApplyManifests(ctx, c.Plane.Kubectl)
}

// Counts are what a server counted, by the values of some labels, joined by spaces.
type Counts map[string]float64

// ServerCounts gives a metric of the API server, summed by labels, such as
// {"LIST pods": 3} for apiserver_request_total by verb and resource.
func (a *API) ServerCounts(metric string, labels ...string) Counts {
	a.Helper()
	text, err := a.cluster.Client.Discovery().RESTClient().Get().AbsPath("/metrics").SetHeader("Accept", "text/plain").DoRaw(a.Context())
	a.Must(err)
	counts, err := countsOf(text, metric, labels)
	a.Must(err)
	return counts
}

// countsOf reads one metric of many.
func countsOf(text []byte, metric string, labels []string) (Counts, error) {
	var lines bytes.Buffer
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte(metric)); ok && (rest[0] == '{' || rest[0] == ' ') {
			lines.Write(line)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&lines)
	if err != nil {
		return nil, fmt.Errorf("read metric %s: %w", metric, err)
	}
	counts := Counts{}
	for _, m := range families[metric].GetMetric() {
		counts[key(m, labels)] += m.GetUntyped().GetValue() // without its # TYPE it has none
	}
	return counts, nil
}

func key(m *dto.Metric, labels []string) string {
	var values []string
	for _, want := range labels {
		for _, l := range m.GetLabel() {
			if l.GetName() == want {
				values = append(values, l.GetValue())
			}
		}
	}
	return strings.Join(values, " ")
}

// Since gives what was counted more than before.
func (c Counts) Since(before Counts) Counts {
	more := Counts{}
	for k, n := range c {
		if n > before[k] {
			more[k] = n - before[k]
		}
	}
	return more
}

// Sum gives all whose labels begin with one of these verbs and have one of these resources.
func (c Counts) Sum(verbs, resources []string) (sum float64) {
	for k, n := range c {
		verb, resource, _ := strings.Cut(k, " ")
		if slices.Contains(verbs, verb) && slices.Contains(resources, resource) {
			sum += n
		}
	}
	return sum
}

func (c Counts) String() string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(c)) {
		all = append(all, fmt.Sprintf("%s: %.0f", k, c[k]))
	}
	return strings.Join(all, ", ")
}
