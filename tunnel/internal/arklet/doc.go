// Package arklet is the codec for the protocol of a base (arklet is the agent in its
// JVM): JSON, topics and paths, and their limits. No other package knows them.
//
// Guaranteed: decoders accept bytes from anybody. They limit size and depth before they
// decode, never panic, and give texts that are valid UTF-8, free of control characters
// and at most tunnel.MaxText bytes long. An error is an *Error, whose Reason is one of a
// few words, for metrics.
//
// Not guaranteed: that what a base reports is true.
package arklet
