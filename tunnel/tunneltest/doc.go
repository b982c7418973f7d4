// Package tunneltest plays bases as real ones behave, and has the suite that every
// tunnel passes. It was written apart from the codec that it tests, from recorded
// traffic of real bases; testdata has that traffic, and a test asks the fake the
// same and compares.
package tunneltest
