package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	callTimeout  = 5 * time.Second // of the API
	tokenSeconds = 3607            // that a token lasts, as in a cluster
)

func (w *podWorker) tokenFile() string      { return filepath.Join(w.dir, "token") }
func (w *podWorker) kubeconfigFile() string { return filepath.Join(w.dir, "kubeconfig") }

// writeKubeconfig writes the file by which the pod reaches the API server. It names
// the token's file, which client-go reads again every minute.
func (w *podWorker) writeKubeconfig() error {
	pod, a := w.seen(), w.agent
	config := clientcmdapi.NewConfig()
	config.Clusters["e2e"] = &clientcmdapi.Cluster{Server: a.o.Config.Host, CertificateAuthorityData: a.ca}
	config.AuthInfos["pod"] = &clientcmdapi.AuthInfo{TokenFile: w.tokenFile()}
	config.Contexts["e2e"] = &clientcmdapi.Context{Cluster: "e2e", AuthInfo: "pod", Namespace: pod.Namespace}
	config.CurrentContext = "e2e"
	if err := clientcmd.WriteToFile(*config, w.kubeconfigFile()); err != nil {
		return fmt.Errorf("write the kubeconfig of pod %s: %w", pod.Name, err)
	}
	return nil
}

// requestToken asks for a token of the pod's service account that ends with the pod.
func (w *podWorker) requestToken(ctx context.Context) (token string, expires time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	pod := w.seen()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: new(int64(tokenSeconds)),
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID},
	}}
	got, err := w.agent.o.Client.CoreV1().ServiceAccounts(pod.Namespace).CreateToken(ctx, pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
	if err != nil {
		return "", time.Time{}, fmt.Errorf("request a token of pod %s: %w", pod.Name, err)
	}
	return got.Status.Token, got.Status.ExpirationTimestamp.Time, nil
}

// keepToken keeps a fresh token in a file until ctx ends: it asks for the next one
// when 80% of a token's lifetime is over. It calls written after each write.
func keepToken(ctx context.Context, file string, request func(context.Context) (string, time.Time, error), written func(), failed func(error)) {
	for {
		asked := time.Now()
		token, expires, err := request(ctx)
		if err == nil {
			err = replace(file, token)
		}
		pause := expires.Sub(asked) * 4 / 5
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed(err)
			pause = retryAfter
		default:
			written()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// replace writes a file so that readers see the old content or the new one.
func replace(file, content string) error {
	if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
