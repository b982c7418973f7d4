package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// unknownVariables gives a fault for each variable that is no setting but was meant to be
// one: its name begins as only settings do, or differs from one in a letter or two. What
// else is in the environment is other programs'.
func unknownVariables(all []setting, env map[string]string) (faults []error) {
	known := namesOf(all)
	prefixes := prefixesOf(known)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if slices.Contains(known, name) || isServiceLink(name, env) {
			continue
		}
		meant := nearest(name, known, slips)
		own := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		switch {
		case meant != "":
			faults = append(faults, fmt.Errorf("%s is no setting: did you mean %s?", name, meant))
		case own:
			faults = append(faults, fmt.Errorf("%s is no setting, but begins like one: remove it; --help lists the settings", name))
		}
	}
	return faults
}

// namesOf gives the variables of all settings, old names too.
func namesOf(all []setting) (names []string) {
	for _, s := range all {
		names = append(names, s.names()...)
	}
	return names
}

// generalWords are first words of settings that other programs' variables have too: with
// these, two words make a prefix.
var generalWords = []string{"BASE", "DEFAULT", "ENABLE", "HEALTH", "HTTP", "IS", "KUBE", "KUBELET", "LOG", "MAX", "METRICS", "NODE", "POD"}

// prefixesOf gives what only settings' names begin with: the words that two of them share,
// and our own.
func prefixesOf(names []string) []string {
	prefixes := []string{ownPrefix}
	shared := map[string]int{}
	for _, name := range names {
		words := strings.SplitAfter(name, "_")
		n := 1
		if slices.Contains(generalWords, strings.TrimSuffix(words[0], "_")) {
			n = 2
		}
		if len(words) > n {
			shared[strings.Join(words[:n], "")]++
		}
	}
	for prefix, n := range shared {
		if n > 1 {
			prefixes = append(prefixes, prefix)
		}
	}
	return prefixes
}

// serviceLink is what follows a Service's name in a variable that Kubernetes sets for it.
var serviceLink = regexp.MustCompile(`^(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// isServiceLink says whether Kubernetes set a variable for a Service of the namespace. For
// a Service mqtt it sets MQTT_PORT, among others, which is a setting too: there the value
// tells, as Kubernetes' is an address with a scheme.
func isServiceLink(name string, env map[string]string) bool {
	for host := range env {
		service, is := strings.CutSuffix(host, "SERVICE_HOST")
		rest, of := strings.CutPrefix(name, service)
		if is && of && serviceLink.MatchString(rest) && (rest != "PORT" || strings.Contains(env[name], "://")) {
			return true
		}
	}
	return false
}

// nearest gives the name that another one was meant to be; empty for none. How many letters
// of a name may be wrong is up to allowed.
func nearest(name string, known []string, allowed func(string) int) string {
	best, least := "", 3
	for _, k := range known {
		if far := distance(name, k); far < least && far <= allowed(k) {
			best, least = k, far
		}
	}
	return best
}

// slips is how many letters of a variable may be wrong for it to be meant all the same.
// Short names are not guessed: POD_ID may well be something else than POD_IP.
func slips(name string) int {
	switch {
	case len(name) < 8:
		return 0
	case len(name) < 12:
		return 1
	}
	return 2
}

// certain is that for what is a fault whatever was meant, such as an unknown flag.
func certain(name string) int {
	if len(name) < 3 {
		return 0
	}
	return max(1, slips(name))
}

// distance is how many letters must be added, left out, changed or swapped with the next
// one to make b of a.
func distance(a, b string) int {
	if off := len(a) - len(b); off > 2 || off < -2 {
		return max(off, -off) // at least; no more is asked
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
