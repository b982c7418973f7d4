// Package scenario has the tests that run in more than one size: small ones in suite,
// large ones in scale. Each function is a whole test on a World of its own. Moving is the
// part of a test that suite and moving share.
package scenario
