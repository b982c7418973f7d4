package controlplane

import (
	"cmp"
	"fmt"
	"os"
	"strings"
)

const (
	// KubernetesVersion is the Kubernetes that tests run on unless
	// VersionVariable names another. e2e/tools must pin it.
	KubernetesVersion = "1.37.2"
	// EtcdVersion is the etcd beneath it. e2e/tools must pin it.
	EtcdVersion = "3.6.4"
	// VersionVariable is the environment variable that chooses another Kubernetes.
	VersionVariable = "E2E_KUBERNETES_VERSION"
	// AssetsVariable is the environment variable that names a folder of ready
	// programs. Those found there are used, the others are made.
	AssetsVariable = "KUBEBUILDER_ASSETS"
	// ReleasesVariable is the environment variable that names a mirror of
	// https://dl.k8s.io and https://github.com, under the same paths, from which programs
	// are fetched in their place. With ReleasesNone all are built.
	ReleasesVariable = "E2E_RELEASES"
	// ReleasesNone is the value of ReleasesVariable for which nothing is fetched.
	ReleasesNone = "none"
)

// Version is the Kubernetes version that the environment chooses, without a "v".
func Version() string {
	return strings.TrimPrefix(cmp.Or(os.Getenv(VersionVariable), KubernetesVersion), "v")
}

// majorMinor splits "1.37.2" into "1" and "37".
func majorMinor(version string) (major, minor string, err error) {
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return "", "", fmt.Errorf("read Kubernetes version %q: want three numbers such as %s", version, KubernetesVersion)
	}
	return parts[0], parts[1], nil
}
