package kubelet

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"

	"module-controller/internal/access"
	"module-controller/internal/connlimit"
	"module-controller/internal/tokens"
)

// errNobody: a request tells nobody's name.
var errNobody = errors.New("send a client certificate that the cluster's authority signed, or a bearer token")

// asker is who sends a request.
type asker struct {
	authenticationv1.UserInfo
	// certified: a client certificate proved it, as of the API server, which asks for all
	// people. Anybody else has a token.
	certified bool
}

// admit gives who sends a request, and an error with its status if he may not have it.
func (s *Server) admit(r *http.Request, node string) (asker, int, error) {
	who, err := s.askerOf(r)
	switch {
	case errors.Is(err, tokens.ErrUnreviewed):
		return who, http.StatusServiceUnavailable, err
	case err != nil:
		return who, http.StatusUnauthorized, err
	}
	for _, wish := range wishesOf(r, node) {
		if err = s.access.Check(r.Context(), who.UserInfo, wish); err == nil {
			return who, http.StatusOK, nil
		}
	}
	if errors.Is(err, access.ErrForbidden) {
		return who, http.StatusForbidden, err
	}
	return who, http.StatusServiceUnavailable, err
}

// askerOf finds out who sends a request: a client certificate goes before a token.
func (s *Server) askerOf(r *http.Request) (asker, error) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		user, err := s.userOfCertificate(r.TLS.PeerCertificates)
		if err == nil { // before his rights are known: an API server comes for many people at once
			connlimit.Admitted(r.Context())
		}
		if err == nil || r.Header.Get("Authorization") == "" {
			return asker{user, true}, err
		}
	}
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return asker{}, errNobody
	}
	user, err := s.tokens.Review(r.Context(), token)
	return asker{UserInfo: user}, err
}

// userOfCertificate reads a user's name and groups off a certificate, as an API server does.
func (s *Server) userOfCertificate(chain []*x509.Certificate) (authenticationv1.UserInfo, error) {
	roots := s.clients.pool()
	if roots == nil {
		return authenticationv1.UserInfo{}, errors.New("the authority of client certificates is not known: set KUBELET_PROXY_CLIENT_CA_PATH")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	leaf := chain[0]
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("client certificate is refused: %w", err)
	}
	if leaf.Subject.CommonName == "" {
		return authenticationv1.UserInfo{}, errors.New("client certificate is refused: it has no common name")
	}
	groups := append([]string{}, leaf.Subject.Organization...)
	return authenticationv1.UserInfo{Username: leaf.Subject.CommonName, Groups: append(groups, "system:authenticated")}, nil
}

// verbs are what is done with a Node, by how it is requested.
var verbs = map[string]string{
	http.MethodGet: "get", http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete",
}

// wishesOf gives what a request wants, any of which permits it. They are those of a kubelet of
// Kubernetes 1.37, but that a question to a base is always a creation: a kubelet lets those
// exec by a WebSocket who may only get.
func wishesOf(r *http.Request, node string) []access.Wish {
	verb := verbs[r.Method]
	first, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	parts := []string{"proxy"}
	switch first {
	case "stats", "metrics":
		parts = []string{first}
	case "pods", "runningpods":
		parts = []string{"pods", "proxy"}
	case "exec", "attach", "portForward":
		verb = "create"
	}
	wishes := make([]access.Wish, 0, len(parts))
	for _, part := range parts {
		wishes = append(wishes, access.Wish{Node: node, Subresource: part, Verb: verb})
	}
	return wishes
}
