// Package webhooks tells other programs over HTTP that the install of a module failed. Each
// failure that changes the reason which its pod shows is one POST to each URL, with a JSON
// body and a signature.
//
// Guaranteed: nobody waits for a URL, and one URL delays no other; what waits and what is
// remembered is bounded; what is not sent is counted and told in the log; credentials in
// URLs and in what bases say are hidden, as in the pod's status; a redirect is not followed.
// Not guaranteed: that each failure arrives, or that it arrives once: what could not be sent
// in a while and what waits when the session ends is dropped, and an answer may be lost. The
// body's ID is the same in each try.
//
// All may be called from any goroutine. Nothing blocks but Run.
package webhooks
