package diagnose

// Pages of this project that say more.
const (
	docReadme       = "README.md"
	docPods         = "README.md#what-a-pod-shows"
	docNodes        = "README.md#what-a-node-shows"
	docDeploy       = "README.md#deploy-a-module"
	docOwners       = "README.md#who-owns-what"
	docHTTP         = "README.md#bases-over-http"
	docRun          = "README.md#run-it"
	docInstallation = "docs/limitations.md#installation"
	docBehind       = "docs/ownership.md#when-renewals-fall-behind"
	docDetection    = "docs/ownership.md#3-failure-detection"
	docRight        = "docs/ownership.md#2-the-right-to-act"
	docBroker       = "docs/security.md#broker"
	docRefused      = "docs/security.md#why-a-message-was-refused"
	docBind         = "docs/security.md#bind-a-namespace"
	docStrangers    = "docs/security.md#keep-scrapers-and-daemonsets-off-vnodes"
	docWho          = "docs/security.md#who-may-do-what"
	docIdentity     = "docs/modules.md#who-a-base-is"
	docAges         = "docs/modules.md#ages"
	docCommands     = "docs/modules.md#commands"
	docPodLimits    = "docs/limitations.md#pods-and-modules"
	docRequests     = "docs/operations.md#drain-a-member-move-a-base"
	docUnmanaged    = "docs/modules.md#unmanaged-modules"
)
