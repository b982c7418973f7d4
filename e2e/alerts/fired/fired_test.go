package fired

import (
	"context"
	"fmt"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/attacker"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// reader gives the token of an account that may read metrics.
func reader(w *world.World) string {
	w.Helper()
	bindings := cluster.Client.RbacV1().ClusterRoleBindings()
	_, err := bindings.Create(w.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: w.Env},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: w.Role() + "-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.Env, Name: "default"}},
	}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() { w.Must(bindings.Delete(context.Background(), w.Env, metav1.DeleteOptions{})) })
	token, err := cluster.Client.CoreV1().ServiceAccounts(w.Env).CreateToken(w.Context(), "default", &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	w.Must(err)
	return token.Status.Token
}

// Nothing fires while each replica of a fleet is restarted in order under a load of installs.
// A replica that dies and stays away is told, and so are replicas that die again and again.
func TestAlertsOfMembers(t *testing.T) {
	t.Parallel()
	const bases, replicas = 20, 3
	w := cluster.New(t).WithBroker().WithFleet(bases)
	token := reader(w)
	w.WithReplicas(replicas, "SETTLE_TIME=3s", "LIST_INTERVAL=2s", "METRICS_AUTH=kubernetes")
	m := monitored(w, token)
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)

	for i := replicas - 1; i >= 0; i-- {
		w.Stop(i)
		w.Must(w.Replicas[i].Start(t.Context()))
		for n := range 5 {
			name := fmt.Sprintf("m%d%d", i, n)
			w.CreatePod(name, world.BaseID(1+n), name, "1.0.0", world.Jar(name, "1.0.0"))
			w.AwaitReady(name)
		}
	}
	w.AwaitOwned(world.Timeout, bases)
	m.scraped()
	m.only()

	dies := func() {
		t.Helper()
		w.Must(w.Replicas[2].Kill())
		w.Eventually(world.Timeout, func() error {
			if now := w.Incarnation(2); now != "" {
				return fmt.Errorf("it is a member still, %s", now)
			}
			return nil
		})
	}
	dies()
	m.fires(nil, "ModuleControllerMemberMissing")
	w.StartAll(w.Replicas[2])
	m.ends("ModuleControllerMemberMissing")
	for range 2 {
		dies()
		w.StartAll(w.Replicas[2])
		w.AwaitIncarnation(2, "")
	}
	m.fires(nil, "ModuleControllerMembersKeepFailing")
	m.only()
}

// A replica that loses the broker is told, and that all of them do is another matter. That
// none is there is told at last.
func TestAlertsOfTunnels(t *testing.T) {
	t.Parallel()
	const bases = 6
	w := cluster.New(t).WithBroker().WithFleet(bases)
	w.Proxied = true
	w.WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	m := monitored(w, "")
	w.AwaitNodesReady(bases)
	m.scraped()
	m.only()

	w.Must(w.Links[1].Broker.Cut())
	m.fires(nil, "ModuleControllerTunnelDown")
	w.Must(w.Links[1].Broker.Pass())
	m.ends("ModuleControllerTunnelDown")
	w.Must(w.Broker.Kill())
	m.fires(nil, "ModuleControllerTunnelDownEverywhere")
	w.StartBroker()
	m.ends("ModuleControllerTunnelDownEverywhere")
	w.AwaitNodesReady(bases)
	w.StopAll(world.StopTimeout, w.Replicas...)
	m.fires(nil, "ModuleControllerDown")
	m.only()
}

// Renewals that the API server does not answer are told before Nodes turn NotReady, and those
// that it refuses at once.
func TestAlertsOfRenewals(t *testing.T) {
	t.Parallel()
	const bases = 20
	w := cluster.New(t).WithBroker().WithFleet(bases)
	w.Proxied, w.APIUnreachable = true, true
	w.WithController("LEASE_RENEW_INTERVAL=2s", "LIST_INTERVAL=2s")
	m := monitored(w, "")
	w.AwaitNodesReady(bases)
	m.scraped()
	m.only()

	w.Must(w.Links[0].API.Blackhole())
	m.may("ModuleControllerWatchBehind") // where a write was answered, and not shown before the end
	m.fires(nil, "ModuleControllerRenewalsBehind", "ModuleControllerNodesAboutToTurnNotReady")
	w.Must(w.Links[0].API.Pass())
	m.ends("ModuleControllerRenewalsBehind", "ModuleControllerNodesAboutToTurnNotReady", "ModuleControllerWatchBehind")

	restore := withoutLeases(w)
	m.fires(nil, "ModuleControllerLeasesRefused")
	restore()
	m.ends("ModuleControllerLeasesRefused", "ModuleControllerRenewalsBehind", "ModuleControllerNodesAboutToTurnNotReady")
	w.AwaitNodesReady(bases)
}

// withoutLeases takes the replicas' right to read and write single Leases of bases away,
// until it is restored.
func withoutLeases(w *world.World) (restore func()) {
	w.Helper()
	roles := cluster.Client.RbacV1().Roles(corev1.NamespaceNodeLease)
	set := func(verbs []string) (was []string) {
		w.Helper()
		role, err := roles.Get(w.Context(), w.Role(), metav1.GetOptions{})
		w.Must(err)
		was, role.Rules[0].Verbs = role.Rules[0].Verbs, verbs
		_, err = roles.Update(w.Context(), role, metav1.UpdateOptions{})
		w.Must(err)
		return was
	}
	was := set([]string{"list", "watch"})
	return func() { w.Helper(); set(was) }
}

// A watch that shows nothing, while requests are answered, is told.
func TestAlertsOfWatches(t *testing.T) {
	t.Parallel()
	const bases = 6
	w := cluster.New(t).WithBroker().WithFleet(bases)
	watches := startWatches(w)
	w.WithController("KUBECONFIG="+watches.kubeconfig(w), "LEASE_RENEW_INTERVAL=2s", "LIST_INTERVAL=2s")
	m := monitored(w, "")
	w.AwaitNodesReady(bases)
	m.scraped()
	m.only()

	watches.hold()
	m.fires(nil, "ModuleControllerWatchBehind")
	watches.release()
	m.ends("ModuleControllerWatchBehind")
}

// Installs that fail one after the other are told, and bases that nobody owns.
func TestAlertsOfCommandsAndOwners(t *testing.T) {
	t.Parallel()
	const bases = 10
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController("LIST_INTERVAL=2s")
	m := monitored(w, "")
	w.AwaitNodesReady(bases)
	m.scraped()
	m.only()

	for n := range bases {
		w.Must(w.Fleet.Do(world.BaseID(n+1), "fail-installs?n=all"))
	}
	n := 0
	m.fires(every(300*time.Millisecond, func() {
		name := fmt.Sprintf("m%d", n)
		w.CreatePod(name, world.BaseID(1+n%bases), name, "1.0.0", world.Jar(name, "1.0.0"))
		n++
	}), "ModuleControllerCommandsFailing") // and goes on to: it is about the last hour too
	w.Kubectl("delete", "pods", "-n", w.Env, "--all", "--grace-period=0", "--force")

	// Edited while nobody puts it right: whoever held them may live, and is waited for.
	w.Must(w.Replicas[0].Kill())
	list, err := w.BaseLeases().List(t.Context(), w.OfEnv())
	w.Must(err)
	for _, lease := range list.Items[:3] {
		nobody := ""
		lease.Spec.HolderIdentity = &nobody
		_, err := w.BaseLeases().Update(t.Context(), &lease, metav1.UpdateOptions{})
		w.Must(err)
	}
	w.StartAll(w.Replicas[0])
	m.fires(nil, "ModuleControllerBasesUnowned")
	m.ends("ModuleControllerBasesUnowned")
	w.AwaitOwned(world.Timeout, bases)
	m.only()
}

// A configuration that is refused is told, and a sender that is.
func TestAlertsOfRefusals(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2)
	w.ErrorsMeant = []string{"the changed configuration is refused, the old one holds"}
	good := "apiVersion: config.module-controller.koupleless.io/v1alpha1\nkind: ModuleControllerConfiguration\n"
	file := w.File("config.yaml", good)
	w.WithController("MODULE_CONTROLLER_CONFIG="+file, "LIST_INTERVAL=2s")
	m := monitored(w, "")
	w.AwaitNodesReady(2)
	m.scraped()
	m.only()

	w.File("config.yaml", good+"logging: {levle: debug}\n")
	m.fires(nil, "ModuleControllerConfigRefused")
	w.File("config.yaml", good)
	m.ends("ModuleControllerConfigRefused")

	stranger, err := attacker.Connect(t.Context(), w.BrokerAddress(), "stranger")
	w.Must(err)
	defer stranger.Close()
	forge := every(200*time.Millisecond, func() {
		w.Must(stranger.Publish(t.Context(), "koupleless_"+w.Env+"/"+world.BaseID(1)+"/base/heart", []byte("}{"), false))
	})
	m.fires(forge, "ModuleControllerHeartbeatsRefused")
	m.ends("ModuleControllerHeartbeatsRefused")
	m.only()
}

// Bases that fall silent are told, and those that another controller holds.
func TestAlertsOfBases(t *testing.T) {
	t.Parallel()
	const bases = 8
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController("STALE_AFTER=5s", "LIST_INTERVAL=1s", "QUIET_LIST_INTERVAL=1s")
	m := monitored(w, "")
	w.AwaitNodesReady(bases)
	m.scraped()
	m.only()

	w.Must(w.Fleet.Do(world.BaseID(1), "silence"))
	m.fires(nil, "ModuleControllerBasesNotReady")
	w.Must(w.Fleet.Do(world.BaseID(1), "resume"))
	m.ends("ModuleControllerBasesNotReady")
	w.AwaitNodesReady(bases)

	f := &foreigner{World: w, lease: w.NodeName(world.BaseID(2))}
	m.fires(every(foreignDuration/2, f.renews), "ModuleControllerBasesHeldByOthers")
	m.ends("ModuleControllerBasesHeldByOthers")
	w.AwaitNodesReady(bases)
	m.only()
}

// foreigner is another controller that holds the Lease of a base.
type foreigner struct {
	*world.World
	lease string
}

// foreignDuration is how long a renewal of the foreigner's is good for.
const foreignDuration = 2 * time.Second

// renews writes the foreigner into the Lease.
func (f *foreigner) renews() {
	f.Helper()
	f.Eventually(world.Timeout, func() error { // whoever has it may write it meanwhile
		lease, err := f.BaseLeases().Get(f.Context(), f.lease, metav1.GetOptions{})
		if err != nil {
			return harness.Final(err)
		}
		f.takes(lease)
		_, err = f.BaseLeases().Update(f.Context(), lease, metav1.UpdateOptions{})
		return err
	})
}

func (f *foreigner) takes(lease *coordinationv1.Lease) {
	holder, seconds, now, epoch := "another-controller", int32(foreignDuration/time.Second), metav1.NowMicro(), world.OwnerOf(*lease).Epoch
	if world.OwnerOf(*lease).Holder != holder {
		epoch++
	}
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime, lease.Spec.LeaseTransitions = &holder, &seconds, &now, &epoch
}
