// Package oneproc has the tests of a package run on one processor under the race detector.
// Every package whose tests use testing/synctest imports it there, for its effect alone.
//
// All timers of a bubble share one context of the race detector, which is not made for two
// threads at once. A timer that is due when it is made or read runs at once, on the thread of
// whoever does that, while other goroutines of the bubble do the same elsewhere. The context
// is then broken: the detector ends the process with a failed CHECK, or with a segmentation
// fault in SlotLock and registers instead of a trace. Go 1.26.8 still does this. With one
// processor no two threads run Go code at once. The detector finds races by what happens
// before what, not by what happens at the same time, so little is lost.
package oneproc
