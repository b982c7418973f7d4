// Package diagnose says what is wrong with a fleet, why, and what to do about it.
//
// It is pure: a Snapshot of package fleet, and what was asked of the cluster beside it, are
// its input, findings its output. What is wrong is known by rules, a table for each kind of
// object: memberRules, baseRules, waitingRules for pods that have no base yet, boundRules for
// those that have one. The order of the rules of pods is their rank: the first that finds
// something has found the cause, for what comes later follows from it.
//
// A rule quotes what the objects say. It invents no cause: where no rule knows better, what
// Kubernetes or the base says stands there as it is.
package diagnose
