package suite

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// Somebody else over HTTP with the identity of a base that lives: it gets nothing, the
// base is served on, and that is told.
func TestAnotherBaseWithTheIdentityOfALiveOne(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController("LIST_INTERVAL=1s").WithHTTPFleet(1)
	w.AwaitNodesReady(1)
	first, before := w.Fleet, w.Nodes()[0]
	w.WithHTTPFleet(1) // the same identity at another port
	defer func() { w.Must(first.Kill()) }()
	w.AwaitNodeEvent("base-0001", "BaseContested")
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	for fleet, want := range map[*harness.Sim]int{first: 1, w.Fleet: 0} {
		if c, err := fleet.Counts(); err != nil || c.Installs != want {
			t.Errorf("%d installs, want %d, %v", c.Installs, want, err)
		}
	}
	after := w.Nodes()
	if len(after) != 1 || after[0].UID != before.UID || !world.NodeReady(after[0]) || !maps.Equal(after[0].Labels, before.Labels) {
		t.Errorf("nodes %+v", after)
	}
	if n, err := w.Replicas[0].Metric("module_controller_messages_dropped_total", `reason="contender"`); err != nil || n == 0 {
		t.Errorf("not believed were %v heartbeats: %v", n, err)
	}
}

// An address that another application reuses: the old VNode retires with its pods, and
// the new application gets none of their modules.
func TestAnAddressReusedByAnotherApplication(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController("LIST_INTERVAL=1s", "STALE_AFTER=4s").WithHTTPFleet(1, "--name", "shop")
	w.AwaitNodesReady(1)
	old := w.Nodes()[0]
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	w.Must(w.Fleet.Do("base-0001", "stop"))
	w.Must(w.Fleet.Do("base-0001", "metadata?name=bank&version=1"))
	w.Must(w.Fleet.Do("base-0001", "start"))
	w.AwaitGone("stock", world.Timeout)
	w.Eventually(world.Timeout, func() error {
		nodes := w.Nodes()
		if len(nodes) != 1 || nodes[0].UID == old.UID || nodes[0].Labels["vnode.koupleless.io/name"] != "bank" || !world.NodeReady(nodes[0]) {
			return fmt.Errorf("nodes %+v", nodes)
		}
		return nil
	})
	if c := w.Counts(); c.Installs != 1 {
		t.Errorf("%d installs, want the first application's one", c.Installs)
	}
}

// A base that comes and goes keeps its Node.
func TestABaseThatFlaps(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2).WithController("STALE_AFTER=3s", "GONE_AFTER=1m", "LIST_INTERVAL=1s")
	w.AwaitNodesReady(2)
	before := w.Nodes()
	for range 3 {
		w.Must(w.Fleet.Do("base-0001", "silence"))
		w.AwaitNodeReason("base-0001", "BaseSilent")
		w.Must(w.Fleet.Do("base-0001", "resume"))
		w.AwaitNodeReason("base-0001", "BaseAlive")
	}
	for i, n := range w.Nodes() {
		if n.UID != before[i].UID {
			t.Errorf("node %s was created again", n.Name)
		}
	}
}

// A base that takes seconds for each answer delays no other, and nothing is asked of
// it twice.
func TestASlowBase(t *testing.T) {
	t.Parallel()
	const bases = 10
	w := cluster.New(t).WithHTTP().WithController().WithHTTPFleet(bases)
	w.AwaitNodesReady(bases)
	w.Must(w.Fleet.Do("base-0001", "slow?d=4s"))
	w.CreatePod("slow", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	for n := 2; n <= bases; n++ {
		w.CreatePod(fmt.Sprintf("p%d", n), world.BaseID(n), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	}
	for n := 2; n <= bases; n++ {
		w.AwaitReady(fmt.Sprintf("p%d", n))
	}
	if p, err := w.GetPod("slow"); err != nil || world.PodReady(*p) {
		t.Errorf("the slow base was as fast as the others (%v)", err)
	}
	w.AwaitReady("slow")
	if c := w.Counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}
}

// A base whose clock is wrong by an hour is like any other.
func TestWrongClocks(t *testing.T) {
	t.Parallel()
	for _, off := range []string{"1h", "-1h"} {
		t.Run(off, func(t *testing.T) {
			t.Parallel()
			w := cluster.New(t).WithBroker().WithFleet(1, "--clock", off).WithController("STALE_AFTER=10s", "LIST_INTERVAL=1s")
			w.AwaitNodesReady(1)
			w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
			w.AwaitReady("stock")
			w.Must(w.Fleet.Do("base-0001", "restart"))
			w.Eventually(world.Timeout, func() error {
				b, err := w.Fleet.Base("base-0001")
				if err == nil && b.Installs["stock:1.0.0"] != 2 {
					err = fmt.Errorf("installed %d times", b.Installs["stock:1.0.0"])
				}
				return err
			})
			w.AwaitReady("stock")
			w.AwaitNodesReady(1)
		})
	}
}

// post posts a body where heartbeats are taken, as a base or a member does, and gives
// the status.
func post(w *world.World, path, body, token string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.Endpoint()+path, strings.NewReader(body))
	w.Must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	w.Must(err)
	w.Must(answer.Body.Close())
	return answer.StatusCode
}

const announcement = `{"baseMetadata":{"identity":%q,"name":"shop","version":"1","clusterName":"c"},"localIP":%q,"localHostName":"h","port":1238,"state":"activated"}`

// Whatever is posted, the status says what was wrong with it, and nobody else
// notices.
func TestHostileHeartbeats(t *testing.T) {
	t.Parallel()
	token := "t0ken"
	w := cluster.New(t).WithHTTP()
	w.WithController("HTTP_TUNNEL_TOKEN_FILE="+w.File("token", token), "HTTP_TUNNEL_TIMEOUT=2s", "HTTP_TUNNEL_INSTALL_TIMEOUT=2s")
	for _, c := range []struct {
		name, body, token string
		want              int
	}{
		{"no token", announcement, "", http.StatusUnauthorized},
		{"wrong token", announcement, "x", http.StatusUnauthorized},
		{"not JSON", "}{", token, http.StatusBadRequest},
		{"10 MB", strings.Repeat("x", 10<<20), token, http.StatusRequestEntityTooLarge},
		{"nested", strings.Repeat("[", 10_000), token, http.StatusBadRequest},
		{"link-local", fmt.Sprintf(announcement, "evil", "169.254.169.254"), token, http.StatusForbidden},
		{"identity with a slash", fmt.Sprintf(announcement, "a/b", "127.0.0.1"), token, http.StatusBadRequest},
		{"no identity", fmt.Sprintf(announcement, "", "127.0.0.1"), token, http.StatusBadRequest},
	} {
		if got := post(w, "/heartbeat", c.body, c.token); got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got, c.want)
		}
	}
	// A sender that never ends is cut off.
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.Endpoint(), "http://"))
	w.Must(err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"))
	w.Must(err)
	w.Must(conn.SetReadDeadline(time.Now().Add(world.Timeout)))
	for {
		if _, err = conn.Read(make([]byte, 512)); err != nil {
			break
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a slow sender is not cut off")
	}
	for _, reason := range []string{"unauthorized", "not_json", "too_large", "sender_mismatch"} {
		if n, err := w.Replicas[0].Metric("module_controller_messages_dropped_total", `reason="`+reason+`"`); err != nil || n == 0 {
			t.Errorf("nothing was counted as %s (%v)", reason, err)
		}
	}
	if nodes := w.Nodes(); len(nodes) != 0 {
		t.Errorf("nodes appeared: %v", nodes)
	}
}

// outsider is a client with a key that no member's Lease tells of; with nil it has none.
func outsider(key ed25519.PrivateKey) (*http.Client, error) {
	config := &tls.Config{InsecureSkipVerify: true} // an attacker verifies nobody
	if key != nil {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: world.Timeout}, nil
}

// Forwarded heartbeats are taken from members only, who prove the key that their Lease
// tells of before a byte is read; the bases' port takes none.
func TestOnlyMembersForwardHeartbeats(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP()
	w.CreateBasePods("127.0.0.1") // where post posts from
	w.WithController()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	w.Must(err)
	url := "https://127.0.0.1:" + w.Replicas[0].Setting("PEER_LISTEN_PORT") + "/heartbeat"
	for name, key := range map[string]ed25519.PrivateKey{"without a key": nil, "with a stranger's": key} {
		client, err := outsider(key)
		w.Must(err)
		answer, err := client.Post(url, "application/json", strings.NewReader(fmt.Sprintf(announcement, "forged", "127.0.0.1")))
		if err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
	if n, err := w.Replicas[0].Metric("module_controller_messages_dropped_total", `reason="peer_unauthorized"`); err != nil || n != 1 {
		t.Errorf("%v strangers were counted, want the one with a key (%v)", n, err)
	}
	if got := post(w, "/peer/heartbeat", fmt.Sprintf(announcement, "forged", "127.0.0.1"), ""); got != http.StatusNotFound {
		t.Errorf("on the bases' port: status %d", got)
	}
	if got := post(w, "/heartbeat", fmt.Sprintf(announcement, "base", "127.0.0.1"), ""); got != http.StatusOK {
		t.Errorf("a base: status %d", got)
	}
}

// Whatever a base sends over MQTT, what is wrong is dropped and counted, and the others
// work.
func TestHostileMessages(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2).WithController()
	w.AwaitNodesReady(2)
	for where, body := range map[string]string{
		"base/heart": "}{", "base/biz": strings.Repeat("[", 10_000), "base/health": strings.Repeat("x", 1<<20), "base/simpleBiz": `{"data":null}`,
	} {
		w.Must(w.Fleet.Post("/bases/base-0001/say?where="+where, []byte(body)))
	}
	w.Eventually(world.Timeout, func() error {
		n, err := w.Replicas[0].Metric("module_controller_messages_dropped_total")
		if err == nil && n < 3 {
			err = fmt.Errorf("%v messages were dropped", n)
		}
		return err
	})
	for n := range 2 {
		base := world.BaseID(n + 1)
		w.CreatePod(base, base, "stock", "1.0.0", world.Jar("stock", "1.0.0"))
		w.AwaitReady(base)
	}
}
