package chaos

import (
	"errors"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/world"
)

// A Fault begins and ends.
type Fault struct {
	Name string
	Most time.Duration // that it lasts

	replica    int // that it happens to, or around
	kills      bool
	silences   []int    // replicas that cannot renew their membership meanwhile
	faulty     []string // bases that do not do what they are told, or show it late
	alone      bool     // nothing else happens for a while before and after it
	begin, end func() error
}

const (
	long  = 16 * time.Second
	short = 5 * time.Second
)

// Faults are those that may happen to a replica, or around it. Their order is part of
// what a seed means.
func (c *Chaos) Faults(n int) []Fault {
	faults := append(c.processFaults(n), c.linkFaults(n)...)
	faults = append(faults, c.serverFaults()...)
	faults = append(faults, c.leaseFaults(n)...)
	faults = append(faults, c.baseFaults(n)...)
	for i := range faults {
		faults[i].replica = n
	}
	return faults
}

// FaultNamed is the one of Faults that has a name.
func (c *Chaos) FaultNamed(n int, name string) Fault {
	c.Helper()
	for _, f := range c.Faults(n) {
		if f.Name == name {
			return f
		}
	}
	c.Fatalf("no fault is named %q", name)
	return Fault{}
}

func (c *Chaos) processFaults(n int) []Fault {
	replica := c.Replicas[n]
	start := func() error { return replica.Start(c.Context()) }
	signal := func(s syscall.Signal) func() error { return func() error { return replica.Signal(s) } }
	return []Fault{
		{Name: "kill alone", Most: short, kills: true, alone: true, begin: replica.Kill, end: start},
		{Name: "kill", Most: short, kills: true, begin: replica.Kill, end: start},
		{Name: "restart", Most: short, begin: func() error { return replica.Stop(world.StopTimeout) }, end: start},
		{Name: "freeze", Most: long, silences: []int{n}, begin: signal(syscall.SIGSTOP), end: signal(syscall.SIGCONT)},
	}
}

func (c *Chaos) linkFaults(n int) []Fault {
	api, broker := c.Links[n].API, c.Links[n].Broker
	slow := func() error { return api.Delay(700 * time.Millisecond) }
	return []Fault{
		{Name: "api blackhole", Most: long, silences: []int{n}, begin: api.Blackhole, end: api.Pass},
		{Name: "api cut", Most: long, silences: []int{n}, begin: api.Cut, end: api.Pass},
		{Name: "api slow", Most: long, begin: slow, end: api.Pass},
		{Name: "broker blackhole", Most: long, begin: broker.Blackhole, end: broker.Pass},
		{Name: "broker cut", Most: long, begin: broker.Cut, end: broker.Pass},
	}
}

func (c *Chaos) serverFaults() []Fault {
	plane := c.cluster.Plane
	freeze := func() error { return plane.Freeze(controlplane.APIServer) }
	thaw := func() error { return plane.Thaw(controlplane.APIServer) }
	startBroker := func() error { c.StartBroker(); return nil }
	return []Fault{
		{Name: "api frozen for all", Most: long, silences: []int{0, 1, 2}, begin: freeze, end: thaw},
		{Name: "bases cut from the broker", Most: short, begin: c.baseLinks.Cut, end: c.baseLinks.Pass},
		{Name: "broker restarted", Most: short, begin: c.Broker.Kill, end: startBroker},
	}
}

func (c *Chaos) leaseFaults(n int) []Fault {
	nothing := func() error { return nil } // whoever misses the Lease creates it again
	return []Fault{
		{Name: "lease deleted", Most: short, begin: c.deleteLease, end: nothing},
		{Name: "membership deleted", Most: short, begin: func() error {
			return world.IgnoreNotFound(c.MemberLeases().Delete(c.Context(), world.ReplicaName(n), metav1.DeleteOptions{}))
		}, end: nothing},
	}
}

// baseFaults are those of a third of the bases. A download is shorter than an answer is
// waited for (COMMAND_TIMEOUT).
func (c *Chaos) baseFaults(n int) []Fault {
	var third []string
	for i := 1 + n; i <= c.bases; i += 3 {
		third = append(third, world.BaseID(i))
	}
	all := func(happening string) func() error {
		return func() (err error) {
			for _, base := range third {
				err = errors.Join(err, c.Fleet.Do(base, happening))
			}
			return err
		}
	}
	return []Fault{
		{Name: "bases slow to download", Most: long, faulty: third, begin: all("slow-downloads?d=5s"), end: all("resume")},
		{Name: "bases fail to uninstall", Most: long, faulty: third, begin: all("fail-uninstalls?n=all"), end: all("resume")},
		{Name: "bases lie of uninstalls", Most: long, faulty: third, begin: all("keep-uninstalled?n=all"), end: all("resume")},
	}
}

func (c *Chaos) deleteLease() error {
	node := c.NodeName(world.BaseID(1 + c.rng.IntN(c.bases)))
	return world.IgnoreNotFound(c.BaseLeases().Delete(c.Context(), node, metav1.DeleteOptions{}))
}
