package suite

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"module-controller/e2e/world"
)

// hooked is what somebody is told of a failed install, as far as it is looked at.
type hooked struct {
	Version, ID, Reason, Message string
	Base                         struct{ Environment, Identity string }
	Pod                          struct{ Namespace, Name, UID string }
	Module                       struct{ Name, Version, URL string }

	body, time, signature string
}

// webhook is who is told.
type webhook struct {
	*httptest.Server
	mu  sync.Mutex
	got []hooked // mu guards it
}

func newWebhook() *webhook {
	h := &webhook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		is := hooked{body: string(body), time: r.Header.Get("Module-Controller-Timestamp"), signature: r.Header.Get("Module-Controller-Signature")}
		if err != nil || json.Unmarshal(body, &is) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, is)
	}))
	return h
}

func (h *webhook) all() []hooked {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]hooked(nil), h.got...)
}

// An install that fails is told to a webhook, signed and without a credential, once for each
// reason that its pod shows.
func TestFailedInstallsAreToldToAWebhook(t *testing.T) {
	t.Parallel()
	const secret = "of sixteen bytes or more"
	hook := newWebhook()
	w := cluster.New(t).WithBroker().WithFleet(2)
	w.Cleanup(hook.Close)
	w.WithReplicas(2, "LIST_INTERVAL=1s", "BACKOFF_BASE=1s", "REPORT_HOOKS="+hook.URL+"/modules", "REPORT_HOOKS_SECRET_FILE="+w.File("secret", secret+"\n"))
	w.AwaitNodesReady(2)
	w.Must(w.Fleet.Do("base-0001", "fail-installs?n=all"))
	pod := w.CreatePod("orders", "base-0001", "orders", "1.0.0", "https://user:geheim@repo.example.com/orders-1.0.0-ark-biz.jar")
	w.CreatePod("stock", "base-0002", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	w.AwaitWaiting("orders", "InstallBackOff")
	var told []hooked
	w.Eventually(world.Timeout, func() error {
		if told = hook.all(); len(told) < 2 {
			return fmt.Errorf("told %d times, want of the first failure and of the next", len(told))
		}
		return nil
	})
	for i, want := range []string{"InstallFailed", "InstallBackOff"} {
		h := told[i]
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(h.time + "." + h.body))
		if h.signature != "v1="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("the signature is %s", h.signature)
		}
		switch {
		case strings.Contains(h.body, "geheim"):
			t.Errorf("a credential is told: %s", h.body)
		case h.Version != "1", h.ID == "", h.Reason != want, h.Message == "":
			t.Errorf("%d: %s", i, h.body)
		case h.Base.Environment != w.Env, h.Base.Identity != "base-0001", h.Pod.Namespace != w.Env, h.Pod.Name != "orders", h.Pod.UID != string(pod.UID):
			t.Errorf("%d: %s", i, h.body)
		case h.Module.Name != "orders", h.Module.Version != "1.0.0", h.Module.URL != "https://repo.example.com/orders-1.0.0-ark-biz.jar":
			t.Errorf("%d: %s", i, h.body)
		}
	}
	var sent float64
	for _, r := range w.Replicas {
		n, err := r.Metric("module_controller_webhooks_total", `result="sent"`)
		w.Must(err)
		sent += n
	}
	if sent < 2 {
		t.Errorf("%v are counted as sent", sent)
	}
	// Nobody is told of another pod.
	w.Must(w.Fleet.Do("base-0001", "fail-installs?n=0"))
	w.AwaitReady("orders")
	for _, h := range hook.all() {
		if h.Pod.Name != "orders" {
			t.Errorf("told of %s", h.body)
		}
	}
}
