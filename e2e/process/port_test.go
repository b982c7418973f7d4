package process

import "testing"

// A port that nobody listens on yet, or not at the moment, is not given to another.
func TestNoPortIsGivenTwice(t *testing.T) {
	before := map[int]bool{}
	for range 1000 {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if before[port] {
			t.Fatalf("%d was given before", port)
		}
		before[port] = true
	}
}
