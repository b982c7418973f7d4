// Package fired has the alert rules evaluated over what real replicas serve, by Prometheus'
// own scraper, storage and rule manager, while their faults happen to these replicas. Each
// alert fires in its fault and beside it only what the fault leads to; in a rolling update
// none does.
//
// All that takes time in the rules takes a twentieth of it: see scale. What they compare with
// is as it is, for those are times of the product.
package fired
