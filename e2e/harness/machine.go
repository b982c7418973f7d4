package harness

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Machine is a Node with a kubelet that runs nothing. It stands in for the machine of bases'
// Pods, which nobody runs here.
type Machine struct {
	client kubernetes.Interface
	name   string
	server *httptest.Server
}

// StartMachine starts a Machine. As the log of each container it has that of a file, or, with
// none, tells what it was asked for. Who gets one must close it.
func StartMachine(ctx context.Context, client kubernetes.Interface, name, log string) (*Machine, error) {
	mux := http.NewServeMux()
	tell := tellQuestion
	if log != "" {
		tell = func(w http.ResponseWriter, r *http.Request) { tellFile(w, r, log) }
	}
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", tell)
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

// tellFile tells a file, or its last lines, and what is written to it as long as it is followed.
func tellFile(w http.ResponseWriter, r *http.Request, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	shown := text
	if n, err := strconv.Atoi(r.URL.Query().Get("tailLines")); err == nil {
		lines := slices.Collect(bytes.Lines(text))
		shown = bytes.Join(lines[max(0, len(lines)-n):], nil)
	}
	out := http.NewResponseController(w)
	for at := len(text); ; at = len(text) {
		if _, err := w.Write(shown); err != nil || out.Flush() != nil || r.URL.Query().Get("follow") != "true" {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-time.After(50 * time.Millisecond):
		}
		if text, err = os.ReadFile(name); err != nil {
			return
		}
		shown = text[min(at, len(text)):]
	}
}

// tellQuestion tells, in the first line, which container's log it is and by which options. One
// that is followed goes on with a line in 50 ms.
func tellQuestion(w http.ResponseWriter, r *http.Request) {
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
