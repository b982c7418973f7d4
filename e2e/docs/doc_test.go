// Package docs runs what the project's pages tell a reader to run: the quick start from an
// empty control plane to a Ready module, the demo, and every other block of shell commands.
//
// The blocks are run by bash as they stand on the page. What a reader has and the test has
// not is given by the machine: a broker at the name that the pages use, Nodes that run the
// StatefulSet's pods, and for placeholders such as POD what a table binds them to. What
// cannot run is in the table standIns, with the reason.
package docs
