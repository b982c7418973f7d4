package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// value is a field of the configuration as text, a pflag.Value. Set leaves the field alone
// when the text is wrong; its error says what is accepted. Type is one of the kinds below,
// or what pflag calls it.
type value interface {
	Set(string) error
	String() string
	Type() string
}

// Kinds of values that a file writes in a form of their own. Of the others, those of
// numbers are written without quotes, and the rest are strings.
const (
	kindBool   = "boolean" // not pflag's "bool", whose flags need no value
	kindInt    = "int"
	kindNumber = "number"
	kindSize   = "size"
	kindList   = "list"
	kindPairs  = "pairs"
)

// field is a value by two functions.
type field[T any] struct {
	kind   string
	to     *T
	parse  func(string) (T, error)
	format func(T) string
}

func (f field[T]) Set(text string) error {
	v, err := f.parse(text)
	if err != nil {
		return err
	}
	*f.to = v
	return nil
}

func (f field[T]) String() string { return f.format(*f.to) }

func (f field[T]) Type() string { return f.kind }

func text(to *string) value { return plain("string", to) }

// pairs takes key=value pairs, separated by commas.
func pairs(to *string) value { return plain(kindPairs, to) }

func plain(kind string, to *string) value {
	return field[string]{kind, to, func(v string) (string, error) { return v, nil }, same}
}

func same(v string) string { return v }

// list takes names, in lower case as bases send them.
func list(to *[]string) value {
	return field[[]string]{kindList, to, func(v string) (names []string, err error) {
		for name := range strings.SplitSeq(v, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "" || slices.Contains(names, name) {
				return nil, errors.New("must be distinct names separated by commas")
			}
			names = append(names, name)
		}
		return names, nil
	}, func(names []string) string { return strings.Join(names, ",") }}
}

// urls takes what is separated by commas or, as other controllers have it, by semicolons. What
// is wrong with one is told without it: it may be a secret.
func urls(to *[]string) value {
	return field[[]string]{kindList, to, func(v string) (all []string, err error) {
		for _, u := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' || r == ';' }) {
			if u = strings.TrimSpace(u); u != "" {
				all = append(all, u)
			}
		}
		return all, nil
	}, func(all []string) string { return strings.Join(all, ",") }}
}

func boolean(to *bool) value {
	return field[bool]{kindBool, to, func(v string) (bool, error) {
		is, err := strconv.ParseBool(v)
		if err != nil {
			return false, errors.New("must be true or false")
		}
		return is, nil
	}, strconv.FormatBool}
}

// count takes a whole number; empty is 0, which means the default.
func count[T int | int64](to *T) value {
	return field[T]{kindInt, to, func(v string) (T, error) {
		if v == "" {
			return 0, nil
		}
		n, err := strconv.ParseInt(v, 10, 32)
		if err != nil || n <= 0 {
			return 0, errors.New("must be a whole number above 0")
		}
		return T(n), nil
	}, func(n T) string { return strconv.FormatInt(int64(n), 10) }}
}

func number(to *float64) value {
	return field[float64]{kindNumber, to, func(v string) (float64, error) {
		x, err := strconv.ParseFloat(v, 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || x <= 0 {
			return 0, errors.New("must be a number above 0")
		}
		return x, nil
	}, func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }}
}

func duration(to *time.Duration) value {
	return field[time.Duration]{"duration", to, func(v string) (time.Duration, error) {
		d, err := time.ParseDuration(v)
		if err != nil || d <= 0 {
			return 0, errors.New("must be a duration above 0, such as 40s or 5m")
		}
		return d, nil
	}, func(d time.Duration) string {
		s := d.String() // with units that are 0, such as 5m0s
		if strings.HasSuffix(s, "m0s") {
			s = strings.TrimSuffix(s, "0s")
		}
		if strings.HasSuffix(s, "h0m") {
			s = strings.TrimSuffix(s, "0m")
		}
		return s
	}}
}

// quantity takes a size in bytes.
func quantity[T int | int64](to *T) value {
	return field[T]{kindSize, to, func(v string) (T, error) {
		q, err := resource.ParseQuantity(v)
		if err != nil || q.Value() <= 0 {
			return 0, errors.New("must be a size, such as 512Mi")
		}
		return T(q.Value()), nil
	}, func(n T) string { return resource.NewQuantity(int64(n), resource.BinarySI).String() }}
}

// port takes the port of an address that names no host; empty means the default.
func port(to *string) value {
	return field[string]{kindInt, to, func(v string) (string, error) {
		var n int
		if err := portNumber(&n).Set(v); err != nil || n == 0 {
			return "", err
		}
		return net.JoinHostPort("", strconv.Itoa(n)), nil
	}, portOf}
}

var errPort = errors.New("must be a port, from 1 to 65535")

// portNumber takes a port; empty is 0, which means the default.
func portNumber(to *int) value {
	return field[int]{kindInt, to, func(v string) (int, error) {
		if v == "" {
			return 0, nil
		}
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return 0, errPort
		}
		return int(n), nil
	}, strconv.Itoa}
}

// nowhere is the address of what is not served.
const nowhere = "0"

// listenAddress takes an address to listen on, "host:port", or nowhere.
func listenAddress(to *string) value {
	return field[string]{"address", to, func(v string) (string, error) {
		wrong := errors.New("must be host:port with an IP address or no host, such as :8080 or 127.0.0.1:8080; 0 disables it")
		if v == nowhere {
			return v, nil
		}
		host, port, err := net.SplitHostPort(v)
		if err != nil {
			return "", wrong
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return "", wrong
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" && host != "localhost" {
			return "", wrong
		}
		return v, nil
	}, same}
}

// address takes an IP address.
func address(to *string) value {
	return field[string]{"IP", to, func(v string) (string, error) {
		a, err := netip.ParseAddr(v)
		if err != nil || a.Zone() != "" {
			return "", errors.New("must be an IP address")
		}
		return a.Unmap().String(), nil
	}, same}
}

// portOf gives the port of an address, empty where it has none.
func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

func prefixes(to *[]netip.Prefix) value {
	return field[[]netip.Prefix]{kindList, to, func(v string) (all []netip.Prefix, err error) {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			p, err := netip.ParsePrefix(part)
			if err != nil {
				return nil, fmt.Errorf("must be networks such as 10.0.0.0/8, separated by commas: %w", err)
			}
			all = append(all, p)
		}
		return all, nil
	}, func(all []netip.Prefix) string {
		texts := make([]string, 0, len(all))
		for _, p := range all {
			texts = append(texts, p.String())
		}
		return strings.Join(texts, ",")
	}}
}

func oneOf[T ~string](to *T, words ...T) value {
	return field[T]{"string", to, func(v string) (T, error) {
		if !slices.Contains(words, T(v)) {
			return "", fmt.Errorf("must be one of %v%s", words, guess(v, words))
		}
		return T(v), nil
	}, func(v T) string { return string(v) }}
}

// guess asks whether one of the words was meant; empty for none.
func guess[T ~string](v string, words []T) string {
	known := make([]string, 0, len(words))
	for _, word := range words {
		known = append(known, string(word))
	}
	if meant := nearest(strings.ToLower(v), known, certain); meant != "" {
		return ": did you mean " + meant + "?"
	}
	return ""
}

// only takes one word.
func only(to *string, word string) value {
	return field[string]{"string", to, func(v string) (string, error) {
		if v != word {
			return "", fmt.Errorf("must be %s", word)
		}
		return v, nil
	}, same}
}

func level(to *string) value {
	return field[string]{"string", to, func(v string) (string, error) {
		if words := []string{"debug", "info", "warn", "error"}; !slices.Contains(words, v) {
			return "", errors.New("must be debug, info, warn or error" + guess(v, words))
		}
		return v, nil
	}, same}
}

// unsupported is the value of a setting that has no effect. It keeps the name of
// one that asks for something.
func unsupported(to *[]string, name string) value {
	return field[[]string]{"string", to, func(v string) ([]string, error) {
		if v == "" || v == "false" || v == "0" {
			return *to, nil
		}
		return append(*to, name), nil
	}, func([]string) string { return "" }}
}
