package kubelet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

const shopNode = "vnode.shop.dev"

// bases are the ones of a test, by Node.
type bases struct {
	views   map[string]View
	answers map[tunnel.Verb]tunnel.Report
}

func (b *bases) Look(node string) (View, bool) {
	v, ok := b.views[node]
	return v, ok
}

func (b *bases) Ask(_ context.Context, node string, question tunnel.Verb) (tunnel.Report, error) {
	answer, ok := b.answers[question]
	if _, known := b.views[node]; !known || !ok {
		return tunnel.Report{}, errors.New("the base does not answer")
	}
	return answer, nil
}

// nobody says that no other Node shows an endpoint.
func nobody(plan.Endpoint) bool { return false }

// user is who may do what, each as "verb subresource".
type user struct{ may []string }

// world is a Server that nobody runs, and what is around it.
type world struct {
	*Server
	bases  *bases
	client *fake.Clientset
	users  map[string]user // by name
	asked  func()          // called when it is asked what somebody may; nil for nothing
}

// newWorld makes one whose base shop has a pod with one module, runs in Pod bases/shop-0, and
// has the first port, 10250.
func newWorld(t *testing.T, objects ...runtime.Object) *world {
	t.Helper()
	w, _ := newToldWorld(t, objects...)
	return w
}

// newToldWorld also gives what the log is told.
func newToldWorld(t *testing.T, objects ...runtime.Object) (*world, *observer.ObservedLogs) {
	t.Helper()
	core, told := observer.New(zapcore.WarnLevel)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: shopNode}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "orders", Name: "stock", UID: "2"}, Spec: corev1.PodSpec{NodeName: shopNode, Containers: []corev1.Container{{Name: "stock"}}}}
	w := &world{
		bases: &bases{views: map[string]View{shopNode: {Node: node, Workload: "bases/shop-0/1", Pods: []*corev1.Pod{pod}}}, answers: map[tunnel.Verb]tunnel.Report{}},
		users: map[string]user{},
	}
	w.client = fake.NewClientset(objects...)
	w.client.PrependReactor("create", "tokenreviews", w.review)
	w.client.PrependReactor("create", "subjectaccessreviews", w.permit)
	w.serves(10250, 2, zap.New(core))
	return w, told
}

// serves makes the Server, whose base has the first of n ports.
func (w *world) serves(port, n int, log *zap.Logger) {
	ports := NewPorts(netip.MustParseAddr("127.0.0.1"), port, n)
	ports.At(shopNode, plan.Endpoint{}, nobody)
	w.Server = New(Config{}, Deps{Bases: w.bases, Ports: ports, Client: w.client, Log: log})
}

// review knows tokens of users: "name" is the claim "sub" of a token.
func (w *world) review(a k8stesting.Action) (bool, runtime.Object, error) {
	r := a.(k8stesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
	for name := range w.users {
		if r.Spec.Token == tokenOf(name) {
			r.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: name}}
		}
	}
	return true, r, nil
}

func (w *world) permit(a k8stesting.Action) (bool, runtime.Object, error) {
	if w.asked != nil {
		w.asked()
	}
	r := a.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
	if at := r.Spec.ResourceAttributes; at != nil && at.Resource == "nodes" && at.Name == shopNode {
		r.Status.Allowed = slices.Contains(w.users[r.Spec.User].may, at.Verb+" "+at.Subresource)
	}
	return true, r, nil
}

// streams are those of a command that is run; they keep what is written.
type streams struct {
	out, err *bytes.Buffer // nil where nobody wants it
}

func (s streams) Stdin() io.Reader            { return nil }
func (s streams) Stdout() io.WriteCloser      { return closing(s.out) }
func (s streams) Stderr() io.WriteCloser      { return closing(s.err) }
func (s streams) TTY() bool                   { return s.err == nil }
func (s streams) Resize() <-chan api.TermSize { return nil }

type closer struct{ *bytes.Buffer }

func (closer) Close() error { return nil }

func closing(b *bytes.Buffer) io.WriteCloser {
	if b == nil {
		return nil
	}
	return closer{b}
}

// authority signs certificates of clients.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority{}
	a.cert, a.key = sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "ca"}}, nil)
	return a
}

func (a authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// client makes a certificate of a user.
func (a authority) client(t *testing.T, usage x509.ExtKeyUsage, name string, groups ...string) *x509.Certificate {
	t.Helper()
	cert, _ := sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{usage}}, &a)
	return cert
}

// sign makes a certificate, that signs itself unless by is another.
func sign(t *testing.T, template *x509.Certificate, by *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}
