package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a token of KubeconfigFor lasts: longer than any test.
const tokenSeconds = 24 * 60 * 60

// writeKubeconfig writes a file by which user reaches the API server.
func (c *ControlPlane) writeKubeconfig(name, namespace string, user clientcmdapi.AuthInfo) (string, error) {
	path := filepath.Join(c.dir, name+".kubeconfig")
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{Server: c.url(), CertificateAuthorityData: c.authority.pem}
	config.AuthInfos[name] = &user
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: name, Namespace: namespace}
	config.CurrentContext = "e2e"
	// It may be asked for by several at once: who reads it gets a whole one.
	f, err := os.CreateTemp(c.dir, name)
	if err == nil {
		err = errors.Join(f.Close(), clientcmd.WriteToFile(*config, f.Name()), os.Rename(f.Name(), path))
	}
	if err != nil {
		return "", fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return path, nil
}

// clientKubeconfig writes a kubeconfig for a user whom a certificate proves.
func (c *ControlPlane) clientKubeconfig(name, user string, groups ...string) (string, error) {
	p, err := c.authority.client(user, groups...)
	if err != nil {
		return "", err
	}
	return c.writeKubeconfig(name, "", clientcmdapi.AuthInfo{ClientCertificateData: p.cert, ClientKeyData: p.key})
}

// Config reaches the API server as one who may do everything, without a limit of
// the client's own on its rate. The caller may change it.
func (c *ControlPlane) Config() *rest.Config { return rest.CopyConfig(c.config) }

// KubeletTransport reaches kubelets as the API server does: with its certificate, and without
// verifying theirs.
func (c *ControlPlane) KubeletTransport() (*http.Transport, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.dir, kubeletCertFile), filepath.Join(c.dir, kubeletKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read the certificate for kubelets: %w", err)
	}
	return &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{pair}, InsecureSkipVerify: true}}, nil
}

// Kubeconfig is the path of a kubeconfig of one who may do everything.
func (c *ControlPlane) Kubeconfig() string { return c.kubeconfigs[admin] }

// KubeconfigFor writes a kubeconfig for a service account, which must exist, with a
// token that lasts a day, and gives its path: who uses it may do what RBAC allows
// the account, and no more. The file ends with Stop.
func (c *ControlPlane) KubeconfigFor(ctx context.Context, namespace, serviceAccount string) (path string, err error) {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return "", fmt.Errorf("make a client: %w", err)
	}
	seconds := int64(tokenSeconds)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, serviceAccount, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("request a token of service account %s/%s: %w", namespace, serviceAccount, err)
	}
	// No name of a namespace or account has an underscore: the file is theirs alone.
	return c.writeKubeconfig(namespace+"_"+serviceAccount, namespace, clientcmdapi.AuthInfo{Token: token.Status.Token})
}
