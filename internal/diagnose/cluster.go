package diagnose

import (
	"cmp"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/version"

	"module-controller/internal/fleet"
)

// What is checked of the cluster itself.

// oldest is the first version of Kubernetes that has what the manifests need.
var oldest = version.MustParseGeneric("1.30")

func reached(s *fleet.Snapshot) Tick {
	return Tick{Holds: "the API server is reached: " + cmp.Or(s.Server, "version unknown")}
}

func recentEnough(s *fleet.Snapshot) Tick {
	t := Tick{Holds: "Kubernetes is " + oldest.String() + " or newer"}
	v, err := version.ParseGeneric(s.Server)
	switch {
	case err != nil:
		t.Skipped = "the version is not known"
	case v.LessThan(oldest):
		t.Findings = []Finding{found{
			cause:  "Kubernetes " + s.Server + " has no ValidatingAdmissionPolicy",
			remedy: "leave manifests/admission.yaml out, and know that the service account can then delete any Node",
		}.mild(Warning).finding("old-kubernetes", docInstallation, Object{Kind: "Cluster", Name: s.Server})}
	}
	return t
}

func readable(s *fleet.Snapshot) Tick {
	t := Tick{Holds: "all that is looked at can be read"}
	for _, u := range s.Unread {
		t.Findings = append(t.Findings, found{
			cause:    "you may not read " + u.What + ", so what follows from it is not checked",
			remedy:   "use an account that may: get, list Nodes, Pods, Leases and Events",
			evidence: []string{u.Why},
		}.mild(Warning).finding("not-readable", docInstallation, Object{Kind: "Cluster", Name: u.What}))
	}
	return t
}

// graceFits compares the cluster's grace with what the controller believes of it: a failover
// must fit into it, and what is believed is what the renewals are made to fit.
func graceFits(s *fleet.Snapshot, c fleet.Cluster) Tick {
	believed, actual := 50*time.Second, 50*time.Second
	var evidence []string
	if v, err := version.ParseGeneric(s.Server); err == nil && v.LessThan(version.MustParseGeneric("1.32")) {
		actual = 40 * time.Second
		evidence = append(evidence, "Kubernetes "+s.Server+" has a grace of 40 s unless it is set")
	}
	if set, err := time.ParseDuration(c.Grace); err == nil {
		actual = set
		evidence = append(evidence, "kube-controller-manager: --node-monitor-grace-period="+c.Grace)
	}
	if text, told := s.Setting("NODE_MONITOR_GRACE"); told {
		if set, err := time.ParseDuration(text); err == nil {
			believed = set
		}
	}
	t := Tick{Holds: fmt.Sprintf("a failover fits the cluster's grace (%s)", actual)}
	if believed > actual {
		t.Findings = []Finding{found{
			cause:    fmt.Sprintf("Nodes would turn NotReady in a failover: the cluster's node-monitor-grace-period is %s, and the controller believes %s", actual, believed),
			remedy:   "set NODE_MONITOR_GRACE=" + actual.String() + " on the StatefulSet",
			evidence: evidence,
		}.finding("grace-too-short", docInstallation, Object{Kind: "Cluster", Name: "node-monitor-grace-period"})}
	}
	return t
}

func flowSchemaThere(s *fleet.Snapshot, c fleet.Cluster) Tick {
	t := Tick{Holds: "the Leases of replicas and bases have a FlowSchema"}
	if c.FlowSchema != "" {
		t.Findings = []Finding{found{
			cause:    "requests for Leases may be starved by others: " + c.FlowSchema,
			remedy:   "kubectl apply -f manifests/availability.yaml",
			evidence: []string{c.FlowSchema},
		}.mild(Warning).finding("flowschema-missing", docInstallation, installationObject(s))}
	}
	return t
}

// rights tells which rights somebody lacks, in one finding: what is taken away is taken away
// together.
func rights(verdicts []fleet.Verdict, who string) Tick {
	t := Tick{Holds: who + " has all rights that are needed (" + number(len(verdicts)) + ")"}
	if who == "you" {
		t.Holds = "you may install the controller"
	}
	var lacks []string
	asked := 0
	for _, v := range verdicts {
		switch {
		case !v.Asked:
		case !v.Has:
			asked++
			lacks = append(lacks, v.String())
		default:
			asked++
		}
	}
	switch {
	case asked == 0 && len(verdicts) > 0:
		t.Skipped = "you may not ask for the rights of others (create subjectaccessreviews)"
	case len(lacks) > 0:
		t.Findings = []Finding{found{
			cause:    who + " lacks " + count(len(lacks), "right", "rights") + ": " + some(lacks),
			remedy:   "kubectl apply -f manifests/rbac.yaml (with your own namespace, if it is another)",
			evidence: lacks,
		}.finding("rights-missing", docInstallation, Object{Kind: "ServiceAccount", Name: who})}
	}
	return t
}
