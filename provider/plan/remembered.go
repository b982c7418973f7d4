package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// A pod's status is also memory: it outlives the process. A container's imageID tells where
// its module was installed from, its containerID which module that was. Both are as they
// were at the last start, whatever the spec says since.

const (
	idScheme   = "koupleless://"
	sourceMark = "#" // begins what tells apart URLs that are shown alike
	sourceHash = 4   // bytes
)

// sourceOf is a URL as a status keeps it: without what is secret in it, but no two of them
// alike. The source of a source is that itself, so it may be taken of what was read from a
// status; earlier versions of this program kept the whole URL there.
func sourceOf(from string) string {
	if from == "" || isSource(from) {
		return from
	}
	shown := redact(from)
	if shown == from {
		return from
	}
	sum := sha256.Sum256([]byte(from))
	return shown + sourceMark + hex.EncodeToString(sum[:sourceHash])
}

// isSource says whether a text is what sourceOf gives for a URL that keeps something secret.
func isSource(text string) bool {
	shown, hash, marked := strings.Cut(text, sourceMark)
	sum, err := hex.DecodeString(hash)
	switch {
	case !marked, err != nil, len(sum) != sourceHash:
		return false
	}
	return redact(shown) == shown
}

// containerID names one start of a module on a base.
func containerID(base string, key tunnel.ModuleKey, started time.Time) string {
	return idScheme + base + "/" + key.String() + "/" + strconv.FormatInt(started.Unix(), 10)
}

// RunsAs is the module that a container runs, or ran last, as its own status tells; false
// where it never ran. It is known also when the spec cannot be read any more, or names
// another module by now.
func RunsAs(status *corev1.PodStatus, container string) (tunnel.ModuleKey, bool) {
	s := named(status.ContainerStatuses, container)
	if s == nil {
		return tunnel.ModuleKey{}, false
	}
	rest, ours := strings.CutPrefix(s.ContainerID, idScheme)
	_, rest, _ = strings.Cut(rest, "/") // identities have no '/', nor have names and versions
	word, _, _ := strings.Cut(rest, "/")
	name, version, _ := strings.Cut(word, ":")
	key := tunnel.ModuleKey{Name: name, Version: version}
	if !ours || checkKey(key) != "" {
		return tunnel.ModuleKey{}, false
	}
	return key, true
}
