package plan

import (
	"strings"
	"testing"
	"time"

	"module-controller/tunnel"
)

func TestAFailureTellsItsCauseAndWhenItIsTriedAgain(t *testing.T) {
	for _, cause := range []string{"no stock today", strings.Repeat("no stock today, ", 1000)} {
		s := newSim(overMQTT)
		s.jar(urlOf("orders", "1"), "orders", "1", cause)
		s.pod("orders", "orders", "1", urlOf("orders", "1"))
		shown := map[string]string{}
		for range 60 {
			s.round()
			if all := s.pods[0].Status.ContainerStatuses; len(all) > 0 && all[0].State.Waiting != nil {
				shown[all[0].State.Waiting.Reason] = all[0].State.Waiting.Message
			}
		}
		for reason, again := range map[string]string{ReasonInstallFailed: "(next try after 10s)", ReasonInstallBackOff: "attempts failed, back-off "} {
			if message := shown[reason]; !strings.HasPrefix(message, "no stock today") || !strings.Contains(message, again) || len(message) > tunnel.MaxText {
				t.Errorf("%s tells %q, want the cause and %q", reason, message, again)
			}
		}
	}
}

// What a container shows, by what the base has and what is known of its pod.
func TestObserve(t *testing.T) {
	url := urlOf("orders", "1")
	once := Failure{Purpose: from(url), Count: 1, At: noon, NotBefore: noon.Add(10 * time.Second), Message: "no stock"}
	twice, wrong, other := once, once, once
	twice.Count, wrong.Mismatch, other.URL = 2, module("orders:9"), "file:///other.jar"
	older, newer := podFor("old", "orders:0", age(time.Hour)), podFor("new", "orders:2", age(0))
	for _, c := range []struct {
		name   string
		list   []string
		pod    Pod // its name is p
		others []Pod
		change func(*Input)
		want   string
	}{
		{name: "being installed", pod: podFor("p", "orders:1"), want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "starting", list: []string{"orders:1 resolved"}, pod: podFor("p", "orders:1"), want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "serving", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1"), want: "Running"},
		{name: "serving while it is replaced", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar")), want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "it failed once", pod: podFor("p", "orders:1"), change: failing(once), want: "InstallFailed: no stock (next try after 10s)"},
		{name: "it failed again", pod: podFor("p", "orders:1"), change: failing(twice), want: "InstallBackOff: no stock (2 attempts failed, back-off 10s)"},
		{name: "it is tried again", pod: podFor("p", "orders:1"), change: func(in *Input) { failing(once)(in); in.Now = noon.Add(10 * time.Second) }, want: "Installing: installing again after: no stock"},
		{name: "the jar is a wrong one", pod: podFor("p", "orders:1"), change: failing(wrong), want: "VersionMismatch: no stock"},
		{name: "another URL failed", pod: podFor("p", "orders:1"), change: failing(other), want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "unknown on a partial list", pod: podFor("p", "orders:1"), change: func(in *Input) { in.Seen.Partial = true }, want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "it is to go and cannot", list: []string{"orders:0 activated", "orders:1 broken"}, pod: podFor("p", "orders:1"), change: failing(Failure{Purpose: ofUninstall, Count: 1, NotBefore: noon.Add(time.Second), Message: "threads"}), want: "Deactivated: orders:1 is broken: threads"},
		{name: "what stands in its way cannot go", list: []string{"orders:0 activated", "orders:1 deactivated"}, pod: podFor("p", "orders:1"), change: func(in *Input) {
			plain(in)
			in.Memory.Failures[module("orders:0")] = Failure{Purpose: ofUninstall, Count: 1, NotBefore: noon.Add(time.Second)}
			in.Seen.Modules[1].Message = "It waits."
		}, want: "Deactivated: orders:1 is installed, but deactivated. It waits."},
		{name: "a duplicate", list: []string{"orders:0 activated"}, pod: podFor("p", "orders:0"), others: []Pod{older},
			want: "DuplicateModule: pod old has orders:0 on this base: spread the pods over bases, or delete one"},
		{name: "superseded", list: []string{"orders:2 activated"}, pod: podFor("p", "orders:1"), others: []Pod{newer}, want: "Superseded: pod new has orders:2 on this base"},
		{name: "superseded, and its version serves for nobody", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1"), others: []Pod{newer}, want: "Superseded: pod new has orders:2 on this base"},
		{name: "superseded and serving still", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran(url)), others: []Pod{newer}, want: "Running"},
		{name: "superseded and given back", pod: podFor("p", "orders:1"), others: []Pod{newer}, change: func(in *Input) {
			in.Memory.Failures[module("orders:2")] = Failure{Purpose: from(urlOf("orders", "2")), Count: 1, NotBefore: noon.Add(time.Second)}
		}, want: "Installing: orders:1 from file:///orders-1.jar"},
		{name: "superseded by a revision that runs", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", revision("x")),
			others: []Pod{podFor("new", "orders:1", age(0), revision("y"), ran(url))}, want: "Superseded: pod new has orders:1 on this base"},
		{name: "its Secret is missing", list: []string{"orders:0 activated"}, pod: podFor("p", "orders:1", noSecret), want: "CreateContainerConfigError: secret is missing"},
		{name: "its Secret is missing since it runs", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran(url), noSecret), want: "Running"},
		{name: "its Secret is missing and the base is away", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", noSecret), change: func(in *Input) { in.Live = false }, want: "CreateContainerConfigError: secret is missing"},
		{name: "it is invalid, though that runs", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", image("x")), want: `InvalidModule: image "x" is no URL of a jar: it must begin with file://, http:// or https://`},
		{name: "two bases", pod: podFor("p", "orders:1"), change: func(in *Input) { in.Conflict = "two of them" }, want: "BaseIdentityConflict: two of them"},
		{name: "never listed", pod: podFor("p", "orders:1"), change: func(in *Input) { in.Seen = Seen{} }, want: "ContainerCreating: the base's module list is not known yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.others...).with(c.pod)
			if c.change != nil {
				c.change(&in)
			}
			if got := shownBy(Modules(in), "p"); got != c.want {
				t.Errorf("it shows %q, want %q", got, c.want)
			}
		})
	}
}

// The image id is where the module was installed from, as far as anybody knows.
func TestImageOf(t *testing.T) {
	url := urlOf("orders", "1")
	for _, c := range []struct {
		name   string
		list   []string
		pod    Pod
		others []Pod
		change func(*Input)
		want   string
	}{
		{name: "not installed yet", pod: podFor("p", "orders:1")},
		{name: "installed just now", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1"),
			change: func(in *Input) { *in = in.sent(install("orders:1"), time.Second) }, want: url},
		{name: "installed once", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar")), want: "file:///old.jar"},
		{name: "another pod knows", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", image("file:///old.jar")),
			others: []Pod{podFor("gone", "orders:1", terminating, ran("file:///old.jar"))}, want: "file:///old.jar"},
		{name: "nobody knows", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1"), want: url},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.others...).with(c.pod)
			if c.change != nil {
				c.change(&in)
			}
			if got := statusIn(Modules(in), "p").Status.ContainerStatuses[0].ImageID; got != c.want {
				t.Errorf("image id %q, want %q", got, c.want)
			}
		})
	}
}
