// Package election reads and writes the Leases that say which replica owns which
// base. No other package does.
//
// Today it serves one replica: Solo claims every base that it is asked about and
// renews its Lease, which is also the Node's heartbeat. It takes a Lease only from
// nobody, from an earlier life of the same pod, or from a foreign holder that it
// watched unchanged for the Lease's duration and a grace, always with the resource
// version that it looked at. It does not protect two replicas from each other
// where one is frozen: run one.
package election
