// Package javabase builds and runs real bases: JVMs with the unmodified
// Koupleless runtime from Maven Central, and a few small modules for them. The
// Maven project beside it holds their sources; README.md tells how to use it by
// hand.
//
// It guarantees that a base listens on loopback ports of its own, writes its log,
// its temporary files and what it unpacks only into its own directory, and dies
// with the process that started it (on Linux). It does not guarantee that the
// ports it chose stay free while a base is down.
//
// Every function may be called from any goroutine, the methods that end and
// begin a run of one Base (Kill, Stop, Restart, Close) from one at a time.
package javabase
