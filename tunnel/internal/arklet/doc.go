// Package arklet reads and writes what a base (arklet, the agent in its JVM)
// speaks: JSON, topics and paths, and their limits. No other package does.
//
// Decoders take bytes from anybody. They bound size and depth before they decode,
// never panic, and give texts that are valid UTF-8, free of control characters and
// at most tunnel.MaxText bytes long. What they refuse they refuse with an *Error,
// whose Reason is one of a few words, for metrics.
package arklet
