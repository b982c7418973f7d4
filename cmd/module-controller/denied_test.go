package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	k8stesting "k8s.io/client-go/testing"

	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// freePort gives a port of loopback that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	address, err := basetest.FreeAddress("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return portOf(address)
}

// posted sends a heartbeat that claims an address, and gives the answer's status, once
// somebody listens.
func posted(t *testing.T, endpoint, ip string) (status int, said string) {
	t.Helper()
	body := fmt.Sprintf(`{"baseMetadata":{"identity":"x","name":"n"},"localIP":%q,"port":1238}`, ip)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 500 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/heartbeat", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(r)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text) + fmt.Sprint(resp.Body.Close())
	}
	t.Fatal("nobody listens")
	return 0, ""
}

// No base is at the API server's address, in a network of Services, in one that a setting
// denies, or at our own address, although the allowed networks have them all.
func TestAddressesThatNoBaseHas(t *testing.T) {
	a := newAPIServer(t)
	port := freePort(t)
	cfg := configFor(t, a, map[string]string{"ENABLE_MQTT_TUNNEL": "false", "HTTP_TUNNEL_AUTH": "insecure-anyone", "HTTP_TUNNEL_LISTEN_PORT": port, "PEER_LISTEN_PORT": freePort(t),
		"KUBERNETES_SERVICE_HOST": "10.96.0.1", "POD_IP": "10.0.0.9", "HTTP_TUNNEL_ALLOWED_CIDRS": "10.0.0.0/8", "HTTP_TUNNEL_DENIED_CIDRS": "10.7.0.0/16"})
	cfg.services = []netip.Prefix{netip.MustParsePrefix("10.100.0.0/16")}
	s := sessionOf(t, cfg)
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.tunnels[0].Run(ctx, &tunneltest.RecordingSink{}) }()
	for ip, want := range map[string]bool{"10.0.0.8": true, "10.96.0.1": false, "10.0.0.9": false, "10.7.1.1": false, "10.100.3.4": false} {
		status, said := posted(t, "http://127.0.0.1:"+port, ip)
		if (status == http.StatusOK) != want {
			t.Errorf("%s: %d %s", ip, status, said)
		}
	}
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The API server's address is known from its kubeconfig too; a host name is no address, and
// loopback is every host's own.
func TestTheAddressOfTheAPIServer(t *testing.T) {
	a := newAPIServer(t)
	if got := (&config{kubeconfig: a.config.kubeconfig}).ownAndAPIServer(); len(got) != 0 {
		t.Errorf("loopback is denied: %v", got)
	}
	for host, want := range map[string]string{"https://192.168.1.2:6443": "192.168.1.2", "[fd00::1]:6443": "fd00::1", "https://api.example:6443/x": "api.example"} {
		if got := hostOf(&rest.Config{Host: host}); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	got := (&config{apiHost: "fd00::1", podIP: "::ffff:10.0.0.9"}).ownAndAPIServer()
	if diff := cmp.Diff([]string{"fd00::1/128", "10.0.0.9/32"}, strings.Fields(strings.Trim(fmt.Sprint(got), "[]"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The networks of Services are asked for until there is an answer; one that says no is one.
func TestNetworksOfServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := fake.NewClientset(&networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.96.0.0/12", "fd00:10::/112"}}})
		away, tries := errors.New("the API server is away"), 0
		answer := away
		api.PrependReactor("list", "servicecidrs", func(k8stesting.Action) (bool, runtime.Object, error) {
			tries++
			if tries == 5 {
				return false, nil, nil
			}
			return true, nil, answer
		})
		c := api.NetworkingV1().ServiceCIDRs()
		got, err := serviceNetworks(t.Context(), c)
		if diff := cmp.Diff("[10.96.0.0/12 fd00:10::/112]", fmt.Sprint(got)); diff != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		tries = 6
		began := time.Now()
		if got, err := serviceNetworks(t.Context(), c); !errors.Is(err, away) || got != nil || time.Since(began) != serviceNetworksTimeout {
			t.Errorf("%v, %v after %s", got, err, time.Since(began))
		}
		resource := schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
		for _, answer = range []error{apierrors.NewForbidden(resource, "", nil), apierrors.NewNotFound(resource, "")} {
			tries = 0
			if _, err := serviceNetworks(t.Context(), c); !errors.Is(err, answer) || tries != 1 {
				t.Errorf("%v after %d tries", err, tries)
			}
		}
	})
}

// Before an API server that permits nothing one warning names the setting.
func TestUnknownNetworksOfServices(t *testing.T) {
	a := newAPIServer(t)
	core, logs := observer.New(zap.WarnLevel)
	cfg := configFor(t, a, nil)
	denyServices(t.Context(), cfg, zap.New(core))
	if all := logs.All(); len(all) != 1 || !strings.Contains(all[0].Message, "name them in HTTP_TUNNEL_DENIED_CIDRS") {
		t.Errorf("%v", all)
	}
	cfg.useHTTP = false
	a.asked()
	if denyServices(t.Context(), cfg, zap.New(core)); len(a.asked()) == 0 || logs.Len() != 2 {
		t.Error("without HTTP it was not asked, but probes go to where bases over MQTT say that they are")
	}
}

// A session has Pods prove who bases are where a setting says so, and only there.
func TestWhereAPodIsNeeded(t *testing.T) {
	a := newAPIServer(t)
	for auth, want := range map[string]bool{"": true, "pod": true, "token": true, "address": false, "insecure-anyone": false} {
		s := sessionOf(t, configFor(t, a, map[string]string{"HTTP_TUNNEL_AUTH": auth, "HTTP_TUNNEL_ALLOWED_CIDRS": "10.0.0.0/8"}))
		if got := s.workloads != nil; got != want {
			t.Errorf("HTTP_TUNNEL_AUTH=%s: Pods are watched: %v", auth, got)
		}
		waits := slices.ContainsFunc(s.readiness(newLinkWatch(s.provider, len(s.tunnels), s.owner.Linked)), func(c check) bool {
			return c.name == "base-pods-synced" && c.ok() != nil
		})
		if waits != want {
			t.Errorf("HTTP_TUNNEL_AUTH=%s: readiness waits for them: %v", auth, waits)
		}
	}
}

// A probe connects to no address that no base has, whichever tunnel the base uses and
// whatever host the pod names.
func TestProbesGoToBasesOnly(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a := newAPIServer(t)
	probes := func(address string, env map[string]string) error {
		env["ENABLE_HTTP_TUNNEL"] = "false"
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		cfg := configFor(t, a, env)
		cfg.services = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/12")}
		c, err := dialerOf(cfg.towardsBases(func(a netip.Addr) bool { return a.IsLoopback() || a.String() == "10.1.1.1" }))(ctx, "tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	}
	allowed := map[string]string{"HTTP_TUNNEL_ALLOWED_CIDRS": "0.0.0.0/0", "HTTP_TUNNEL_DENIED_CIDRS": "192.0.2.0/24"}
	if err := probes(l.Addr().String(), allowed); err != nil {
		t.Errorf("an address that is allowed is refused: %v", err)
	}
	for _, address := range []string{"169.254.169.254:80", "10.96.0.1:443", "192.0.2.1:80", "0.0.0.0:80", "10.1.1.1:80"} {
		if err := probes(address, allowed); err == nil || !strings.Contains(err.Error(), "address refused") {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{l.Addr().String(), "localhost:" + portOf(l.Addr().String())} {
		if err := probes(address, map[string]string{}); err == nil || !strings.Contains(err.Error(), "address refused") {
			t.Errorf("%s, which no setting allows: %v", address, err)
		}
	}
}
