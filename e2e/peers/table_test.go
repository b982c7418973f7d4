//go:build peers

package peers

import (
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

// row is one line of the table.
type row struct {
	what string
	of   func(f *figures, nodes int) float64
	show string // how a figure is written
	goal goal
}

// goal is what ours is to be at most: so many times KWOK's, or a figure. They were set for
// 1,000 Nodes; zero is none.
type goal struct{ ratio, most float64 }

var rows = []row{
	{"all Ready", func(f *figures, _ int) float64 { return f.ready.Seconds() }, "%.1f s", goal{ratio: 0.3}},
	{"API writes a Node and minute, quiet", func(f *figures, n int) float64 { return f.quiet.writes / float64(n) }, "%.2f", goal{most: 2.3}},
	{"controller CPU a minute, quiet", func(f *figures, _ int) float64 { return f.quiet.controller.Seconds() }, "%.1f s", goal{ratio: 0.7}},
	{"API server CPU a minute, quiet", func(f *figures, _ int) float64 { return f.quiet.server.Seconds() }, "%.1f s", goal{ratio: 0.5}},
	{"of it without a controller", func(f *figures, _ int) float64 { return f.alone.server.Seconds() }, "%.1f s", goal{}},
	{"resident memory before", func(f *figures, _ int) float64 { return float64(f.before) / 1e6 }, "%.0f MB", goal{}},
	{"resident memory with a pod each", func(f *figures, _ int) float64 { return float64(f.with) / 1e6 }, "%.0f MB", goal{most: 60}},
	{"a pod each bound at once: all Ready", func(f *figures, _ int) float64 { return f.bound.Seconds() }, "%.1f s", goal{ratio: 0.5}},
	{"the same, bound to Ready: p50", func(f *figures, _ int) float64 { return f.bound50.Seconds() }, "%.2f s", goal{ratio: 0.3}},
	{"the same: p99", func(f *figures, _ int) float64 { return f.b99.Seconds() }, "%.2f s", goal{}},
	{"the same: CPU of the controller", func(f *figures, _ int) float64 { return f.binding.controller.Seconds() }, "%.1f s", goal{}},
	{"the same: CPU of the API server", func(f *figures, _ int) float64 { return f.binding.server.Seconds() }, "%.1f s", goal{}},
	{"the same: API writes a pod", func(f *figures, n int) float64 { return f.binding.writes / float64(n) }, "%.2f", goal{}},
	{"all pods deleted at once: all gone", func(f *figures, _ int) float64 { return f.deleted.Seconds() }, "%.1f s", goal{ratio: 1}},
	{"the same: CPU of the controller", func(f *figures, _ int) float64 { return f.ending.controller.Seconds() }, "%.1f s", goal{}},
	{"the same: CPU of the API server", func(f *figures, _ int) float64 { return f.ending.server.Seconds() }, "%.1f s", goal{}},
	{"the same: API writes a pod", func(f *figures, n int) float64 { return f.ending.writes / float64(n) }, "%.2f", goal{}},
	{"times that a Node lost Ready", func(f *figures, _ int) float64 { return float64(f.lost) }, "%.0f", goal{}},
}

// table gives what was measured of KWOK, of client-go alone and of one side of ours, as Markdown.
func table(nodes int, ofKWOK, ofBare, ofOurs *figures, name string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "\n| row, %d Nodes | KWOK v%s | client-go alone | %s | ours / KWOK | goal | |\n|---|---|---|---|---|---|---|\n", nodes, controlplane.KWOKVersion, name)
	for _, r := range rows {
		theirs, least, mine := r.figure(ofKWOK, nodes), r.figure(ofBare, nodes), r.figure(ofOurs, nodes)
		ratio := math.NaN()
		if theirs > 0 {
			ratio = mine / theirs
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s | %s | %s |\n", r.what, shown(r.show, theirs), shown(r.show, least), shown(r.show, mine), shown("%.2f", ratio), r.told(), r.goal.verdict(mine, ratio))
	}
	return t.String()
}

// figure is not a number where nothing was measured.
func (r row) figure(f *figures, nodes int) float64 {
	if f == nil {
		return math.NaN()
	}
	return r.of(f, nodes)
}

func shown(how string, figure float64) string {
	if math.IsNaN(figure) {
		return "–"
	}
	return fmt.Sprintf(how, figure)
}

// told writes the row's goal; nothing where there is none.
func (r row) told() string {
	switch {
	case r.goal.ratio > 0:
		return fmt.Sprintf("≤ %g × KWOK", r.goal.ratio)
	case r.goal.most > 0:
		return "≤ " + fmt.Sprintf(r.show, r.goal.most)
	default:
		return ""
	}
}

// verdict says whether a goal is met; nothing where there is none, or no figure.
func (g goal) verdict(mine, ratio float64) string {
	is, most := mine, g.most
	if g.ratio > 0 {
		is, most = ratio, g.ratio
	}
	switch {
	case g == goal{} || math.IsNaN(is):
		return ""
	case is > most:
		return "goal missed"
	default:
		return "met"
	}
}

// circumstances says when and where it was measured. load is what the machine did before.
func circumstances(t *testing.T, began time.Time, load float64, quiet time.Duration) string {
	t.Helper()
	memory, model := "unknown memory", "unknown"
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if m, err := fs.Meminfo(); err == nil && m.MemTotal != nil {
			memory = fmt.Sprintf("%d GiB", (*m.MemTotal+1<<19)>>20)
		}
		if c, err := fs.CPUInfo(); err == nil && len(c) > 0 {
			model = c[0].ModelName
		}
	}
	commit, err := exec.CommandContext(t.Context(), "git", "-C", harness.Root(), "describe", "--always", "--dirty").Output()
	if err != nil {
		commit = []byte("unknown")
	}
	return fmt.Sprintf("%s, commit %s, %d cores (%s), %s, load average %.1f before; Kubernetes %s, etcd %s, KWOK %s, %s; quiet time %s, %d clients at once; took %s",
		began.Format("2006-01-02 15:04"), strings.TrimSpace(string(commit)), runtime.NumCPU(), model, memory, load,
		controlplane.Version(), controlplane.EtcdVersion, controlplane.KWOKVersion, runtime.Version(), quiet, clients, time.Since(began).Round(time.Second))
}

// loadAverage is that of the last minute.
func loadAverage(t *testing.T) float64 {
	t.Helper()
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	l, err := fs.LoadAvg()
	if err != nil {
		t.Fatal(err)
	}
	return l.Load1
}
