package controlplane

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// A Component is one process of the control plane.
type Component string

// The components, each named as its program, in the order in which they start.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
	Scheduler         Component = "kube-scheduler"
)

// components are in the order in which they start.
var components = []Component{Etcd, APIServer, ControllerManager, Scheduler}

// kubectl is the program beside them.
const kubectl = "kubectl"

// admin is the user of tests.
const admin = "admin"

// kubeletClient is who the API server is at kubelets.
const kubeletClient = "kube-apiserver-kubelet-client"

// frontProxyClient is who the API server is at servers of other APIs, to which it passes
// requests on.
const frontProxyClient = "front-proxy-client"

// The users that the API server's own roles are for.
const (
	controllerManagerUser = "system:kube-controller-manager"
	schedulerUser         = "system:kube-scheduler"
	// kubeletAPIRole is what the API server needs at kubelets.
	kubeletAPIRole = "system:kubelet-api-admin"
)

// The addresses of Services, and the first of them, which the API server takes for
// its own.
const (
	serviceRange = "10.96.0.0/16"
	serviceIP    = "10.96.0.1"
	issuer       = "https://kubernetes.default.svc.cluster.local"
)

// ports are loopback ports.
type ports struct{ etcd, etcdPeer, api int }

func local(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// arguments gives what each component is started with.
func (c *ControlPlane) arguments() (map[Component][]string, error) {
	secrets, err := c.authority.write(c.dir, []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceIP)},
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return nil, err
	}
	scheduler, err := c.schedulerConfig()
	if err != nil {
		return nil, err
	}
	return map[Component][]string{
		Etcd:              c.etcdArguments(),
		APIServer:         c.apiServerArguments(secrets),
		ControllerManager: c.controllerManagerArguments(secrets),
		Scheduler:         {"--config=" + scheduler, "--secure-port=0"},
	}, nil
}

func (c *ControlPlane) etcdArguments() []string {
	client, peer := "http://"+local(c.ports.etcd), "http://"+local(c.ports.etcdPeer)
	return []string{
		"--name=e2e",
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=e2e=" + peer,
		"--unsafe-no-fsync",
	}
}

func (c *ControlPlane) apiServerArguments(f files) []string {
	return []string{
		"--etcd-servers=http://" + local(c.ports.etcd),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		// A loopback address may not be an endpoint of the Service kubernetes.
		"--endpoint-reconciler-type=none",
		"--secure-port=" + strconv.Itoa(c.ports.api),
		"--tls-cert-file=" + f.serverCert,
		"--tls-private-key-file=" + f.serverKey,
		"--client-ca-file=" + f.ca,
		"--kubelet-client-certificate=" + f.kubeletCert,
		"--kubelet-client-key=" + f.kubeletKey,
		"--requestheader-client-ca-file=" + f.frontProxyCA,
		"--requestheader-allowed-names=" + frontProxyClient,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + f.frontProxyCert,
		"--proxy-client-key-file=" + f.frontProxyKey,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + f.accountsKey,
		"--service-account-signing-key-file=" + f.accountsKey,
		"--service-cluster-ip-range=" + serviceRange,
		"--allow-privileged=true",
	}
}

func (c *ControlPlane) controllerManagerArguments(f files) []string {
	return []string{
		"--kubeconfig=" + c.kubeconfigs[string(ControllerManager)],
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + f.accountsKey,
		"--root-ca-file=" + f.ca,
		"--leader-elect=false",
		"--secure-port=0",
		// The defaults, 20 and 30, make a test with hundreds of pods wait for nothing.
		"--kube-api-qps=200",
		"--kube-api-burst=400",
	}
}

// schedulerConfig writes the scheduler's configuration and gives its path.
func (c *ControlPlane) schedulerConfig() (string, error) {
	path := filepath.Join(c.dir, "scheduler.yaml")
	config := fmt.Sprintf(`apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: %q
  qps: 200
  burst: 400
leaderElection:
  leaderElect: false
`, c.kubeconfigs[string(Scheduler)])
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return "", fmt.Errorf("write the scheduler's configuration: %w", err)
	}
	return path, nil
}
