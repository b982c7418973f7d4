package suite

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
)

// Two live bases with one identity: neither is commanded, and it is said.
func TestTwoBasesWithOneIdentity(t *testing.T) {
	w := newWorld(t).withHTTP().withController("LIST_INTERVAL=1s").withHTTPFleet(1)
	w.nodesReady(1)
	first := w.fleet
	w.withHTTPFleet(1) // the same identity at another port
	defer func() { w.must(first.Kill()) }()
	w.nodeShows("base-0001", "BaseIdentityConflict")
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.waits("stock", "BaseIdentityConflict")
	w.eventually(patience, func() error {
		events, err := client.CoreV1().Events("default").List(w.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + w.nodeOf("base-0001") + ",reason=BaseIdentityConflict"})
		if err == nil && len(events.Items) == 0 {
			err = fmt.Errorf("no event")
		}
		return err
	})
	if n, err := w.controller.Metric("module_controller_identity_conflicts_total"); err != nil || n == 0 {
		t.Errorf("conflicts counted: %v, %v", n, err)
	}
	for _, fleet := range []*harness.Sim{first, w.fleet} {
		if c, err := fleet.Counts(); err != nil || c.Installs != 0 {
			t.Errorf("%d installs, %v", c.Installs, err)
		}
	}
}

// An address that another application took over: the old VNode retires with its
// pods, and the new application gets none of their modules.
func TestAnAddressTakenOverByAnotherApplication(t *testing.T) {
	w := newWorld(t).withHTTP().withController("LIST_INTERVAL=1s").withHTTPFleet(1, "--name", "shop")
	w.nodesReady(1)
	old := w.nodes()[0]
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	w.must(w.fleet.Do("base-0001", "stop"))
	w.must(w.fleet.Do("base-0001", "metadata?name=bank&version=1"))
	w.must(w.fleet.Do("base-0001", "start"))
	w.gone("stock", patience)
	w.eventually(patience, func() error {
		nodes := w.nodes()
		if len(nodes) != 1 || nodes[0].UID == old.UID || nodes[0].Labels["vnode.koupleless.io/name"] != "bank" || !nodeReady(nodes[0]) {
			return fmt.Errorf("nodes %+v", nodes)
		}
		return nil
	})
	if c := w.counts(); c.Installs != 1 {
		t.Errorf("%d installs, want the first application's one", c.Installs)
	}
}

// A base that comes and goes keeps its Node.
func TestABaseThatFlaps(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2).withController("STALE_AFTER=3s", "GONE_AFTER=1m", "LIST_INTERVAL=1s")
	w.nodesReady(2)
	before := w.nodes()
	for range 3 {
		w.must(w.fleet.Do("base-0001", "silence"))
		w.nodeShows("base-0001", "BaseSilent")
		w.must(w.fleet.Do("base-0001", "resume"))
		w.nodeShows("base-0001", "BaseAlive")
	}
	for i, n := range w.nodes() {
		if n.UID != before[i].UID {
			t.Errorf("node %s was made anew", n.Name)
		}
	}
}

// A base that takes seconds for each answer delays no other, and nothing is asked of
// it twice.
func TestASlowBase(t *testing.T) {
	const bases = 10
	w := newWorld(t).withHTTP().withController().withHTTPFleet(bases)
	w.nodesReady(bases)
	w.must(w.fleet.Do("base-0001", "slow?d=4s"))
	w.pod("slow", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	for n := 2; n <= bases; n++ {
		w.pod(fmt.Sprintf("p%d", n), fmt.Sprintf("base-%04d", n), "stock", "1.0.0", jar("stock", "1.0.0"))
	}
	for n := 2; n <= bases; n++ {
		w.ready(fmt.Sprintf("p%d", n))
	}
	if p, err := w.get("slow"); err != nil || podReady(*p) {
		t.Errorf("the slow base was as fast as the others (%v)", err)
	}
	w.ready("slow")
	if c := w.counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}
}

// A base whose clock is wrong by an hour is like any other.
func TestWrongClocks(t *testing.T) {
	for _, off := range []string{"1h", "-1h"} {
		t.Run(off, func(t *testing.T) {
			w := newWorld(t).withBroker().withFleet(1, "--clock", off).withController("STALE_AFTER=10s", "LIST_INTERVAL=1s")
			w.nodesReady(1)
			w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
			w.ready("stock")
			w.must(w.fleet.Do("base-0001", "restart"))
			w.eventually(patience, func() error {
				b, err := w.fleet.Base("base-0001")
				if err == nil && b.Installs["stock:1.0.0"] != 2 {
					err = fmt.Errorf("installed %d times", b.Installs["stock:1.0.0"])
				}
				return err
			})
			w.ready("stock")
			w.nodesReady(1)
		})
	}
}

// post posts a body where heartbeats are taken, as a base or a member does, and gives
// the status.
func (w *world) post(path, body, token string) int {
	w.Helper()
	r, err := http.NewRequestWithContext(w.Context(), http.MethodPost, w.endpoint()+path, strings.NewReader(body))
	w.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := http.DefaultClient.Do(r)
	w.must(err)
	w.must(answer.Body.Close())
	return answer.StatusCode
}

const announcement = `{"baseMetadata":{"identity":%q,"name":"shop","version":"1","clusterName":"c"},"localIP":%q,"localHostName":"h","port":1238,"state":"activated"}`

// Whatever is posted, the status says what was wrong with it, and nobody else
// notices.
func TestHostileHeartbeats(t *testing.T) {
	token := "t0ken"
	w := newWorld(t).withHTTP()
	w.withController("HTTP_TUNNEL_TOKEN_FILE="+w.file("token", token), "HTTP_TUNNEL_TIMEOUT=2s", "HTTP_TUNNEL_INSTALL_TIMEOUT=2s")
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
		if got := w.post("/heartbeat", c.body, c.token); got != c.want {
			t.Errorf("%s: status %d, want %d", c.name, got, c.want)
		}
	}
	// A sender that never ends is cut off.
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.endpoint(), "http://"))
	w.must(err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte("POST /heartbeat HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"))
	w.must(err)
	w.must(conn.SetReadDeadline(time.Now().Add(patience)))
	for {
		if _, err = conn.Read(make([]byte, 512)); err != nil {
			break
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a slow sender is not cut off")
	}
	for _, reason := range []string{"unauthorized", "not_json", "too_large", "address_refused"} {
		if n, err := w.controller.Metric("module_controller_messages_dropped_total", `reason="`+reason+`"`); err != nil || n == 0 {
			t.Errorf("nothing was counted as %s (%v)", reason, err)
		}
	}
	if nodes := w.nodes(); len(nodes) != 0 {
		t.Errorf("nodes appeared: %v", nodes)
	}
}

// token asks for a token of a service account, for some audiences or for the API server.
func (w *world) token(namespace, account string, audiences ...string) string {
	w.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	got, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(w.Context(), account, request, metav1.CreateOptions{})
	w.must(err)
	return got.Status.Token
}

// Heartbeats that are passed on are taken from members only, whatever else the sender
// may prove.
func TestOnlyMembersPassHeartbeatsOn(t *testing.T) {
	const secret = "t0ken" // of the bases
	w := newWorld(t).withHTTP()
	w.withController("HTTP_TUNNEL_TOKEN_FILE=" + w.file("token", secret))
	namesake := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: harness.ServiceAccount}}
	_, err := client.CoreV1().ServiceAccounts(w.env).Create(t.Context(), namesake, metav1.CreateOptions{})
	w.must(err)
	strangers := map[string]string{
		"without":  "",
		"wrong":    "x",
		"base":     secret,
		"another":  w.token(w.env, "default"),
		"namesake": w.token(w.env, namesake.Name),
		"audience": w.token(harness.Namespace, harness.ServiceAccount, "vault"),
	}
	for identity, token := range strangers {
		if got := w.post("/peer/heartbeat", fmt.Sprintf(announcement, identity, "127.0.0.1"), token); got != http.StatusUnauthorized {
			t.Errorf("%s: status %d", identity, got)
		}
	}
	if n, err := w.controller.Metric("module_controller_messages_dropped_total", `reason="peer_unauthorized"`); err != nil || int(n) != len(strangers) {
		t.Errorf("%v strangers were counted, want %d (%v)", n, len(strangers), err)
	}
	if got := w.post("/peer/heartbeat", fmt.Sprintf(announcement, "member", "127.0.0.1"), w.token(harness.Namespace, harness.ServiceAccount)); got != http.StatusOK {
		t.Errorf("a member: status %d", got)
	}
	w.nodesReady(1)
	if name := w.nodes()[0].Name; name != w.nodeOf("member") {
		t.Errorf("node %s appeared", name)
	}
}

// Whatever a base says over MQTT, it is dropped and counted, and the others work.
func TestHostileMessages(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2).withController()
	w.nodesReady(2)
	for where, body := range map[string]string{
		"base/heart": "}{", "base/biz": strings.Repeat("[", 10_000), "base/health": strings.Repeat("x", 1<<20), "base/simpleBiz": `{"data":null}`,
	} {
		w.must(w.fleet.Post("/bases/base-0001/say?where="+where, []byte(body)))
	}
	w.eventually(patience, func() error {
		n, err := w.controller.Metric("module_controller_messages_dropped_total")
		if err == nil && n < 3 {
			err = fmt.Errorf("%v messages were dropped", n)
		}
		return err
	})
	for n := range 2 {
		base := fmt.Sprintf("base-%04d", n+1)
		w.pod(base, base, "stock", "1.0.0", jar("stock", "1.0.0"))
		w.ready(base)
	}
}
