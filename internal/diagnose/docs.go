package diagnose

// The page of symptoms, and its headings: each says more of the rules that name it, and leads
// to the pages of its subject.
const (
	troubleshooting = "docs/troubleshooting.md"

	docNoBase       = troubleshooting + "#a-pod-has-no-base"
	docWaits        = troubleshooting + "#what-a-container-waits-for"
	docNotReady     = troubleshooting + "#why-a-pod-is-not-ready"
	docLeave        = troubleshooting + "#a-pod-does-not-leave"
	docEnded        = troubleshooting + "#how-a-module-or-pod-ended"
	docNode         = troubleshooting + "#what-a-node-shows"
	docPodEvents    = troubleshooting + "#events-on-pods"
	docNodeEvents   = troubleshooting + "#events-on-nodes"
	docNoNode       = troubleshooting + "#a-base-has-no-node"
	docReplica      = troubleshooting + "#a-replica"
	docInstallation = troubleshooting + "#the-installation"
)
