// Package tunneltest tests tunnels: it has the suite that every tunnel passes, in three
// replicas, a sink that records, and helpers for tests that wait. The fake bases come from
// package basetest.
package tunneltest
