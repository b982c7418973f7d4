package suite

import (
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
)

func intstrOf(n int) intstr.IntOrString { return intstr.FromInt32(int32(n)) }

func containsAny(text string, parts ...string) bool {
	for _, p := range parts {
		if strings.Contains(text, p) {
			return true
		}
	}
	return false
}
