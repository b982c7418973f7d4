// Package fleetpage shows the whole fleet as a page of HTML, made of what a member has in
// memory: no request asks the API server. What is shown is a pure function of a Sight and a
// Query, and bounded however large the fleet is. The page needs no JavaScript: with it, the
// page renews itself in place.
//
// It is for people: its words and its structure may change.
package fleetpage
