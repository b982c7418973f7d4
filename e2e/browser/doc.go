// Package browser opens the page of the fleet in a real browser, headless chromium: as it
// looks and can be used on a desktop and a phone, as it follows what happens, who is let in,
// and how soon it loads with 10,000 bases.
//
// The tests have the build tag browser, so that go test ./... does not run them: they need
// chromium, which Debian has as a package. With -args -shots=FOLDER they leave there what
// docs/page.md shows.
//
// What the page has is read by expressions that give plain data. A handle of an element would
// be of no use as soon as the page renews itself.
package browser
