// Package harness runs the product as its users do: the built binaries as
// processes, on a real control plane, with simulated bases. It sees the binaries,
// the API and the wire, and nothing of the product's packages.
package harness
