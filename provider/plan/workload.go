package plan

// Workload is what is known of the one place in which a base runs. The order counts.
type Workload int

// What may be known.
const (
	WorkloadRuns   Workload = iota // or nothing can be known of it
	WorkloadUnseen                 // its Pod was not seen yet: our sight may be behind, or it is gone
	WorkloadEnds                   // its Pod is being deleted, which nothing takes back
	WorkloadEnded                  // its Pod is no more, or has ended
)

// Place is where a base runs, as far as that is known.
type Place struct {
	Workload Workload
	// Machine is the name of the Node that it runs on; empty where it is not known.
	Machine string
	// Zone and Region are those of the machine; empty where they are not known.
	Zone, Region string
}
