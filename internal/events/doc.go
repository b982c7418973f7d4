// Package events writes Events for many Nodes over one client. The library's broadcaster
// writes one at a time and forgets those that do not fit into its queue, whoever filled
// it.
//
// It guarantees that a Node that tells much, or whose Events the API server is slow to
// take, delays and displaces only its own Events; that those of a Node are written in
// their order; and that each that is not written is counted. It does not guarantee that
// one is written: what waits is bounded, and lost when Run ends.
//
// All may be called from any goroutine. Nothing blocks but Run.
package events
