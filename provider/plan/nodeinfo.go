package plan

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"
)

// setNodeInfo shows what a Node runs on. None of it is empty, which kubectl shows as unknown.
func setNodeInfo(in NodeInput, node *corev1.Node) {
	info := &node.Status.NodeInfo
	if info.KubeletVersion == "" || in.Touch { // all Nodes at once would be written when a server is upgraded
		info.KubeletVersion = kubeletVersion(in, info.KubeletVersion)
	}
	info.OperatingSystem, info.Architecture = "linux", "jvm"
	info.KernelVersion, info.OSImage = "jvm", "Koupleless base"
	info.ContainerRuntimeVersion = "koupleless://arklet"
}

// kubeletVersion follows the API server's, because kubeadm and others refuse to upgrade a
// cluster with kubelets that are too old. While that is not known, what is shown stays.
func kubeletVersion(in NodeInput, shown string) string {
	if _, err := version.ParseSemantic(shown); in.ServerVersion == "" && err == nil {
		return shown
	}
	return KubeletVersion(in.ServerVersion, in.Config.Version)
}

// KubeletVersion is the version of an API server with the build of this program, as a
// semantic version. One that cannot be read counts as 0.0.0.
func KubeletVersion(server, build string) string {
	v, err := version.ParseGeneric(server)
	if err != nil {
		v = version.MustParseGeneric("0.0.0")
	}
	return fmt.Sprintf("v%d.%d.%d-module-controller-%s", v.Major(), v.Minor(), v.Patch(), prerelease(build))
}

// prerelease gives a text as part of a semantic version: letters, digits and hyphens.
func prerelease(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-':
			return r
		}
		return '-'
	}, text)
}
