//go:build moving

package moving

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

const (
	// bases are those that the other controller finds first.
	bases = 2
	// readyAt is where the other controller tells that it runs. Its ports are fixed.
	readyAt = "http://127.0.0.1:8081/readyz"
	// quiet is for how long nothing may happen: four of the other controller's lists.
	quiet = time.Minute
	// followsBases is a setting of either controller: peer Deployments have a replica a base.
	followsBases = "ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE=true"
)

// fleet is served by one of the two controllers.
type fleet struct {
	*scenario.Moving
	program string
	theirs  *process.Process
	port    int // where the other controller listens for heartbeats over HTTP; 0: nowhere
}

// startTheirs starts the other controller by its name in Leases, with the rights of an
// administrator and the settings of its example.
func (f *fleet) startTheirs(name string) {
	f.Helper()
	cmd := exec.Command(f.program)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "KUBECONFIG=" + cluster.Plane.Kubeconfig(), "ENV=" + f.Env, "CLIENT_ID=" + name, followsBases}
	if f.Tunnel == "mqtt" {
		cmd.Env = append(cmd.Env, "ENABLE_MQTT_TUNNEL=true", "MQTT_BROKER=127.0.0.1", "MQTT_PORT="+strconv.Itoa(f.BrokerPort))
	} else {
		var err error
		f.port, err = f.Service.Backend()
		f.Must(err)
		f.Service.Only(f.port)
		cmd.Env = append(cmd.Env, "ENABLE_HTTP_TUNNEL=true", "HTTP_TUNNEL_LISTEN_PORT="+strconv.Itoa(f.port))
	}
	log := filepath.Join(f.Dir, name+".log")
	p, err := process.Start(cmd, log)
	f.Must(err)
	f.theirs = p
	f.Cleanup(func() {
		if err := p.Stop(world.StopTimeout); err != nil {
			f.Error(err)
		}
	})
	f.Eventually(world.Timeout, func() error {
		if p.Ended() {
			return harness.Final(fmt.Errorf("the other controller ended: %w; its log is %s", p.Err(), log))
		}
		return harness.Healthy(f.Context(), readyAt)
	})
}

// stopTheirs has the other controller end, as a Deployment that is scaled to 0 does.
func (f *fleet) stopTheirs() {
	f.Helper()
	f.Must(f.theirs.Stop(world.StopTimeout))
	if f.port != 0 {
		f.Service.Without(f.port)
	}
}

// heldBy gives an error unless the other controller holds the Leases of all bases by its name.
func (f *fleet) heldBy(name string) error {
	f.Helper()
	owners := f.Owners()
	for node, o := range owners {
		if o.Holder != name {
			return fmt.Errorf("%s is held by %q", node, o.Holder)
		}
	}
	if len(owners) != f.Bases {
		return fmt.Errorf("there are %d Leases", len(owners))
	}
	return nil
}

// allReady gives an error unless there is a Ready Node for each base.
func (f *fleet) allReady() error {
	f.Helper()
	nodes := f.Nodes()
	for _, n := range nodes {
		if !world.NodeReady(n) {
			return fmt.Errorf("%s is not Ready", n.Name)
		}
	}
	if len(nodes) != f.Bases {
		return fmt.Errorf("there are %d Nodes", len(nodes))
	}
	return nil
}

// deploy creates a Deployment for each base, whose pod has a module.
func (f *fleet) deploy(module string) {
	f.Helper()
	f.awaitSecond()
	for n := range f.Bases {
		node := f.NodeName(world.BaseID(n + 1))
		f.CreateDeployment(module, "1.0.0", world.Jar(module, "1.0.0"), 1, func(d *appsv1.Deployment) {
			d.Name = fmt.Sprint(module, "-", n+1)
			d.Spec.Selector.MatchLabels["base"] = world.BaseID(n + 1)
			d.Spec.Template.Labels["base"] = world.BaseID(n + 1)
			d.Spec.Template.Spec.Affinity = onNode(node)
		})
	}
}

// peer creates a peer Deployment, and waits for its pods.
func (f *fleet) peer() {
	f.Helper()
	f.awaitSecond()
	f.CreateDeployment("peer", "1.0.0", world.Jar("peer", "1.0.0"), 1, world.Spread, func(d *appsv1.Deployment) {
		d.Labels = map[string]string{
			"virtual-kubelet.koupleless.io/component": "module-deployment", "virtual-kubelet.koupleless.io/env": f.Env,
			"virtual-kubelet.koupleless.io/strategy": "peer",
		}
		d.Spec.Template.Spec.NodeSelector["base.koupleless.io/cluster-name"] = "east"
	})
	f.AwaitOneEach("peer", f.Bases)
}

// join has a base speak that was silent, which gets a replica of the peer Deployment.
func (f *fleet) join() {
	f.Helper()
	f.Bases++
	f.Must(f.Fleet.Do(world.BaseID(f.Bases), "resume"))
	f.AwaitNodesReady(f.Bases)
	f.AwaitOneEach("peer", f.Bases)
}

// onNode has a pod go to a Node. Simulated bases at one address have one host name, which the
// other controller takes for the label kubernetes.io/hostname.
func onNode(name string) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
		NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
			{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{name}},
		}}},
	}}}
}

// awaitSecond waits for a moment that is not the first of a minute. The other controller takes
// of the time of a module's state the second of the minute alone, and what has 0 for no news:
// the pod of a module that starts then is never Ready.
func (f *fleet) awaitSecond() {
	f.Helper()
	f.Eventually(world.Timeout, func() error {
		if s := time.Now().Second(); s < 5 || s > 45 {
			return fmt.Errorf("second %d of a minute", s)
		}
		return nil
	})
}

// told counts the commands of a kind that the bases got.
func (f *fleet) told(command string) (n int) {
	f.Helper()
	for i := range f.Bases {
		base, err := f.Fleet.Base(world.BaseID(i + 1))
		f.Must(err)
		for _, c := range base.Commands {
			if c.Command == command {
				n++
			}
		}
	}
	return n
}
