package diagnose

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

func number(n int) string { return strconv.Itoa(n) }

// count tells how many there are of something.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// age tells a duration as kubectl does.
func age(d time.Duration) string { return duration.HumanDuration(d) }

// quote quotes what an object says, without what it says nothing by.
func quote(of, text string) string {
	return fmt.Sprintf("%s: %s", of, strings.TrimSpace(text))
}

// mentions says whether a text has any of words in it.
func mentions(text string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
