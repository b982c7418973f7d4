package attacker

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// Sender posts from one address of this host.
type Sender struct {
	IP       string
	endpoint string
	client   *http.Client
}

// NewSender makes a Sender to an endpoint, such as http://127.0.0.1:7777.
func NewSender(ip, endpoint string) *Sender {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &Sender{ip, endpoint, &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: from.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: 10 * time.Second},
	}}
}

// Post posts a body and gives the status and the text of the answer. Headers are pairs of
// name and value.
func (s *Sender) Post(ctx context.Context, path, body string, headers ...string) (status int, text string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.endpoint+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	return answer.StatusCode, strings.TrimSpace(string(got)), err
}

// Close closes its connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Heart is what a heartbeat says. The zero value of a field is a usual base's.
type Heart struct {
	Identity, Name, Version, Cluster, IP, Host string
	Port                                       int
}

// String gives the heartbeat as a base sends it over HTTP.
func (h Heart) String() string {
	or := func(s, usual string) string {
		if s == "" {
			return usual
		}
		return s
	}
	return fmt.Sprintf(`{"baseMetadata":{"identity":%q,"name":%q,"version":%q,"clusterName":%q},"localIP":%q,"localHostName":%q,"port":%d,"state":"activated"}`,
		h.Identity, or(h.Name, "TO_BE_IMPLEMENTED"), or(h.Version, "1.0.0"), or(h.Cluster, "default"), h.IP, or(h.Host, h.IP), h.Port)
}

// Published gives the heartbeat as a base publishes it.
func (h Heart) Published(at time.Time) string {
	return fmt.Sprintf(`{"publishTimestamp":%d,"data":%s}`, at.UnixMilli(), h)
}
