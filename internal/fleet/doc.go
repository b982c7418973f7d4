// Package fleet reads the whole fleet as the API server shows it: members, bases, module
// pods, and who owns what.
//
// Build makes a Snapshot of objects, wherever they came from: Reader lists them once, a
// member has them in its caches. A Snapshot is plain data. It holds no client, reads no
// clock and is never changed, so that what is concluded from it is a function.
//
// Not guaranteed: that all was read at one instant. Between two lists a base may have moved.
package fleet
