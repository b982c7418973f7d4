package chaos

import (
	"cmp"
	"math/rand/v2"
	"testing"
	"time"

	"module-controller/e2e/history"
	"module-controller/e2e/proxy"
	"module-controller/e2e/world"
)

// Options say what a run is made of.
type Options struct {
	Bases int
	// Seed says which faults happen, and for how long.
	Seed uint64
	// Binary is the controller. Default: the Cluster's.
	Binary string
	// LogLevel is the replicas'. Default: info.
	LogLevel string
}

// Chaos is one run: a World with three replicas and proxies around them, which is
// recorded.
type Chaos struct {
	*world.Recorder
	// Inflicted counts the faults that Next chose, by name.
	Inflicted map[string]int

	cluster   *world.Cluster
	bases     int
	rng       *rand.Rand
	baseLinks *proxy.Proxy // between the bases and the broker
}

// addresses are those of the bases.
const addresses = "127.1.0.0/16"

// New starts three replicas with a module on each base, and proxies between all that
// speak to each other. It returns when each base is owned by the replica that it is
// assigned to.
func New(tb testing.TB, cluster *world.Cluster, o Options) *Chaos {
	tb.Helper()
	w := cluster.New(tb).WithBroker()
	baseLinks := w.StartProxy(w.BrokerAddress())
	// Modules listen on addresses of their own. Every install loses metaspace, and a run
	// makes thousands: no base is to be full in it.
	w.StartFleet(o.Bases, "--mqtt", baseLinks.Addr(), "--network", addresses, "--metaspace", "16Gi")
	w.Proxied, w.APIUnreachable, w.Binary = true, true, cmp.Or(o.Binary, w.Binary)
	w.WithReplicas(3, "SETTLE_TIME=3s", "LIST_INTERVAL=2s", "COMMAND_TIMEOUT=30s", "HTTP_TUNNEL_ALLOWED_CIDRS="+addresses, "LOG_LEVEL="+cmp.Or(o.LogLevel, "info"))
	w.AwaitNodesReady(o.Bases)
	r := w.Record()
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), int32(o.Bases), world.Spread)
	w.AwaitPodsReady("app=stock", o.Bases)
	w.AwaitPlaced()
	return &Chaos{
		Recorder: r, Inflicted: map[string]int{}, cluster: cluster, bases: o.Bases,
		rng: rand.New(rand.NewPCG(o.Seed, o.Seed)), baseLinks: baseLinks,
	}
}

// Next has one fault happen, whichever the seed says, and end.
func (c *Chaos) Next() {
	c.Helper()
	n := c.rng.IntN(len(c.Replicas))
	faults := c.Faults(n)
	f := faults[c.rng.IntN(len(faults))]
	d := c.between(f.Most/20, f.Most)
	c.Logf("%s %s: replica %d for %s", time.Now().Format("15:04:05.000"), f.Name, n, d.Round(time.Millisecond))
	if f.alone {
		Wait(history.Takeover)
		defer Wait(history.Takeover)
	}
	c.Inflicted[f.Name]++
	c.Inflict(f, d)
	Wait(c.between(0, 3*time.Second))
}

// between is a random time.
func (c *Chaos) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// LoadAll has pods of all kinds come and go, and Deployments rolled to another version and
// undone, one on bases of its own for each revision and one on the same: see world.Roll.
// The function ends it, once each Deployment is rolled out and what it gave up is gone.
func (c *Chaos) LoadAll(loaders int) (stop func()) {
	c.Helper()
	const pods = 3
	c.CreateDeployment("apart", "1.0.0", world.Jar("apart", "1.0.0"), pods, world.Spread, world.Surge)
	c.CreateDeployment("beside", "1.0.0", world.Jar("beside", "1.0.0"), pods, world.SpreadRevisions, c.Only(world.BaseID(1), world.BaseID(2), world.BaseID(3)), world.Surge)
	stops := []func(){
		c.Load(loaders, c.bases, c.Errorf, world.Bare, world.Several, world.Bare, world.Probed), c.Roll("apart"), c.Roll("beside"),
	}
	end := func() {
		for _, stop := range stops {
			stop()
		}
	}
	c.Cleanup(end)
	return func() {
		c.Helper()
		end()
		for _, app := range []string{"apart", "beside"} {
			c.AwaitPodsReady("app="+app, pods)
		}
	}
}

// Inflict has a fault happen for a time, which the history notes.
func (c *Chaos) Inflict(f Fault, lasts time.Duration) {
	c.Helper()
	killed := ""
	if f.kills {
		killed = c.Incarnation(f.replica)
	}
	var silenced []string
	for _, r := range f.silences {
		silenced = append(silenced, c.Incarnation(r))
	}
	var ended func()
	if len(f.faulty) > 0 {
		ended = c.FaultOfBases(f.Name, f.faulty...)
	} else {
		ended = c.Fault(f.Name, killed, silenced...)
	}
	c.Must(f.begin())
	Wait(lasts)
	ended() // who is silenced may renew again while the end is made
	c.Must(f.end())
}

// Wait lets time go by: how long a fault lasts is what a run is made of.
func Wait(d time.Duration) { <-time.After(d) }
