// Package scenario has the tests that run in more than one size: small ones in suite,
// large ones in scale. Each function is a whole test on a World of its own.
package scenario
