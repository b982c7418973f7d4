package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

// WithKubeletAPI has replicas that are started from now on serve the kubelet's API of Nodes,
// each at so many ports, with the rights that the chart binds for it: to know whom the API
// server's certificate proves, and to read logs in the World's namespace.
func (w *World) WithKubeletAPI(ports int) *World {
	w.Helper()
	w.kubeletPorts = ports
	name := w.installation.name
	w.bind(metav1.NamespaceSystem, name+"-client-ca", rbacv1.RoleRef{Kind: "Role", Name: "extension-apiserver-authentication-reader"})
	w.bind(w.Env, name+"-logs", rbacv1.RoleRef{Kind: "ClusterRole", Name: name + "-logs"})
	return w
}

// bind binds a role to the installation's replicas in a namespace.
func (w *World) bind(namespace, name string, role rbacv1.RoleRef) {
	w.Helper()
	role.APIGroup = rbacv1.GroupName
	_, err := w.cluster.Client.RbacV1().RoleBindings(namespace).Create(w.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role,
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.installation.name, Name: w.installation.name}},
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) { // a World before had the installation
		w.Must(err)
	}
}

// kubeletSettings are those of a replica that serves the kubelet's API.
func (w *World) kubeletSettings() ([]string, error) {
	if w.kubeletPorts == 0 {
		return nil, nil
	}
	first, err := process.FreePorts(w.kubeletPorts)
	if err != nil {
		return nil, err
	}
	return []string{"KUBELET_PROXY_ENABLED=true", "KUBELET_PROXY_PORT=" + strconv.Itoa(first), "KUBELET_PROXY_PORTS=" + strconv.Itoa(w.kubeletPorts)}, nil
}

// WithMachine starts a machine, whose kubelet tells what it is asked for as the log of each
// container, and puts the Pods of all bases on it.
func (w *World) WithMachine() *World {
	w.Helper()
	return w.WithMachineOf("")
}

// WithMachineOf is WithMachine of a machine on which the log of each container is that file.
func (w *World) WithMachineOf(log string) *World {
	w.Helper()
	m, err := harness.StartMachine(w.Context(), w.cluster.Client, "machine-"+w.Env, log)
	w.Must(err)
	w.Cleanup(func() { w.report(m.Close()) })
	pods, err := w.cluster.Client.CoreV1().Pods(w.Env).List(w.Context(), metav1.ListOptions{LabelSelector: harness.BasePodSelector})
	w.Must(err)
	for _, p := range pods.Items {
		w.Must(m.Take(w.Context(), p.Namespace, p.Name))
	}
	return w
}

// OfNode asks the kubelet's API of a base's Node for a path, at the address and port that the
// Node tells and with the API server's own certificate. The API server itself connects to a
// loopback address for logs and exec, and not for what it proxies: see ThroughAPI.
func (w *World) OfNode(identity, path string) ([]byte, error) {
	node, err := w.cluster.Client.CoreV1().Nodes().Get(w.Context(), w.NodeName(identity), metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	transport, err := w.cluster.Plane.KubeletTransport()
	if err != nil {
		return nil, err
	}
	at := net.JoinHostPort(node.Status.Addresses[0].Address, strconv.Itoa(int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)))
	r, err := http.NewRequestWithContext(w.Context(), http.MethodGet, "https://"+at+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second, Transport: transport}).Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("ask %s for %s: %s: %s", node.Name, path, resp.Status, text)
	}
	return text, err
}

// ThroughAPI asks the same through the API server, which needs replicas that serve the kubelet's API
// at an address that is not a loopback one, as that of e2e/network. args are more of kubectl's.
func (w *World) ThroughAPI(identity, path string, args ...string) (string, error) {
	path = "/api/v1/nodes/" + w.NodeName(identity) + "/proxy/" + path
	return w.cluster.Plane.Kubectl(w.Context(), append([]string{"get", "--raw", path}, args...)...)
}

// StatsOf gives what the base of a Node uses, as its owner tells the API server.
func (w *World) StatsOf(identity string) (sum stats.Summary, err error) {
	text, err := w.OfNode(identity, "stats/summary")
	if err != nil {
		return sum, err
	}
	return sum, json.Unmarshal(text, &sum)
}

// AwaitNodeAt waits until a base's Node tells that its kubelet is a replica's, and gives the
// port.
func (w *World) AwaitNodeAt(identity string, replica *harness.Controller) (port int) {
	w.Helper()
	first, err := strconv.Atoi(replica.Setting("KUBELET_PROXY_PORT"))
	w.Must(err)
	w.Eventually(Timeout, func() error {
		node, err := w.cluster.Client.CoreV1().Nodes().Get(w.Context(), w.NodeName(identity), metav1.GetOptions{})
		if err != nil {
			return err
		}
		port = int(node.Status.DaemonEndpoints.KubeletEndpoint.Port)
		if port < first || port >= first+w.kubeletPorts {
			return fmt.Errorf("the kubelet of %s is at port %d, want one of %d from %d on", identity, port, w.kubeletPorts, first)
		}
		return nil
	})
	return port
}

// AddressesOf gives the addresses that a base's Node tells, by type, in order.
func (w *World) AddressesOf(identity string) (all map[corev1.NodeAddressType][]string) {
	w.Helper()
	node, err := w.cluster.Client.CoreV1().Nodes().Get(w.Context(), w.NodeName(identity), metav1.GetOptions{})
	w.Must(err)
	all = map[corev1.NodeAddressType][]string{}
	for _, a := range node.Status.Addresses {
		all[a.Type] = append(all[a.Type], a.Address)
	}
	return all
}
