package alerts

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what of Grafana's format is compared.
type dashboard struct {
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct{ Name string } `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []target `json:"list"`
	} `json:"annotations"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H int }
	Targets []target `json:"targets"`
}

type target struct{ Expr, LegendFormat string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root(), "manifests", "chart", "files", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// rows are those of the dashboard, in order.
var rows = []string{
	"Fleet at a glance", "Ownership and failover", "Renewals and watches", "Commands to bases", "Tunnels and bases", "API client and queues", "Process",
}

// Each panel asks for metrics that a replica serves, of the namespace that was chosen, and for
// nothing that Prometheus does not understand. Panels do not cover each other.
func TestThePanelsAskForMetricsThatThereAre(t *testing.T) {
	known, err := Served()
	if err != nil {
		t.Fatal(err)
	}
	d := readDashboard(t)
	ids, titles, taken := map[int]bool{}, []string{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%q has the number of another panel, %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%q lies over %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			titles = append(titles, p.Title)
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, q := range p.Targets {
			checkQuery(t, p.Title, q.Expr, known)
		}
	}
	if got, want := strings.Join(titles, "; "), strings.Join(rows, "; "); got != want {
		t.Errorf("the rows are %s; want %s", got, want)
	}
	for _, a := range d.Annotations.List {
		if _, err := Metrics(a.Expr); err != nil {
			t.Error(err)
		}
	}
}

// checkQuery checks one query, with Grafana's variables filled in as it does.
func checkQuery(t *testing.T, title, expr string, known map[string]bool) {
	t.Helper()
	filled := strings.NewReplacer("$__rate_interval", "1m", "$namespace", "module-controller").Replace(expr)
	if strings.Contains(filled, "$") || strings.Count(expr, "$namespace") < strings.Count(expr, "{") {
		t.Errorf("%q knows a variable that there is not, or no namespace: %s", title, expr)
	}
	names, err := Metrics(filled)
	if err != nil {
		t.Errorf("%q: %v", title, err)
	}
	for _, name := range names {
		if !known[name] {
			t.Errorf("%q asks for %s, which there is not", title, name)
		}
	}
}

// Each metric of ours that an alert asks for can be seen on the dashboard.
func TestTheDashboardShowsWhatAlertsAreAbout(t *testing.T) {
	groups, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, p := range readDashboard(t).Panels {
		for _, q := range p.Targets {
			shown.WriteString(q.Expr + "\n")
		}
	}
	recorded := map[string]bool{}
	for _, r := range Each(groups) {
		names, err := Metrics(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		recorded[r.Record] = true
		for _, name := range names {
			if !recorded[name] && !strings.Contains(shown.String(), name+"{") {
				t.Errorf("%s%s asks for %s, which no panel shows", r.Alert, r.Record, name)
			}
		}
	}
}
