package harness

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Machine is a Node with a kubelet that runs nothing: as the log of a container it tells what
// it was asked for. It stands in for the machine of bases' Pods, which nobody runs here.
type Machine struct {
	client kubernetes.Interface
	name   string
	server *httptest.Server
}

// StartMachine starts a Machine. Who gets one must close it.
func StartMachine(ctx context.Context, client kubernetes.Interface, name string) (*Machine, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", tellLog)
	m := &Machine{client: client, name: name, server: httptest.NewTLSServer(mux)}
	if err := m.join(ctx); err != nil {
		m.server.Close()
		return nil, fmt.Errorf("create node %s: %w", name, err)
	}
	return m, nil
}

// join makes the Node.
func (m *Machine) join(ctx context.Context) error {
	at, err := netip.ParseAddrPort(m.server.Listener.Addr().String())
	if err != nil {
		return fmt.Errorf("address of the server: %w", err)
	}
	ip := at.Addr().String()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: m.name}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: ip}, {Type: corev1.NodeHostName, Address: ip}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(at.Port())
	_, err = m.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
	return err
}

// tellLog tells, in the first line, which container's log it is and by which options. One that
// is followed goes on with a line in 50 ms.
func tellLog(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	out := http.NewResponseController(w)
	_, _ = fmt.Fprintf(w, "%s/%s %s\n", r.PathValue("pod"), r.PathValue("container"), query.Encode())
	for n := 1; query.Get("follow") == "true"; n++ {
		if _, err := fmt.Fprintf(w, "line %d\n", n); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// Take puts a Pod on the Machine.
func (m *Machine) Take(ctx context.Context, namespace, pod string) error {
	err := m.client.CoreV1().Pods(namespace).Bind(ctx, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod}, Target: corev1.ObjectReference{Kind: "Node", Name: m.name},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("bind pod %s to %s: %w", pod, m.name, err)
	}
	return nil
}

// Close ends the Machine and deletes its Node.
func (m *Machine) Close() error {
	m.server.CloseClientConnections()
	m.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := m.client.CoreV1().Nodes().Delete(ctx, m.name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete node %s: %w", m.name, err)
	}
	return nil
}
