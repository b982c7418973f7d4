package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"k8s.io/apimachinery/pkg/util/validation"

	"module-controller/tunnel"
)

const (
	nodePrefix = "vnode."
	// unescaped are the bytes that stand for themselves in an escaped identity.
	unescaped = "abcdefghijklmnopqrstuvwxy0123456789"
	// escaped begins an identity that was not safe in a Kubernetes name. The rest
	// has the identity's lower-case letters and digits as they are, and every other
	// byte, 'z' included, as 'z' and two hexadecimal digits.
	escaped = "x--"
)

// CheckEnv says whether an environment can be part of a Node's name, and if not,
// why: it must be a DNS label, so that a name can be split again at its last dot.
func CheckEnv(env string) error {
	if faults := validation.IsDNS1123Label(env); len(faults) > 0 {
		return fmt.Errorf("environment %q is not usable in a Node's name: %s", env, strings.Join(faults, "; "))
	}
	return nil
}

// nodeNames are the names of the bases that were asked for last. A base's name is asked for at
// each look at it, and takes four regular expressions.
var nodeNames, _ = lru.New[tunnel.BaseID, string](1 << 14) // it fails for a size below 1 only

// NodeName gives the name of a base's Node and Lease, vnode.{identity}.{env}, as
// other controllers form it. An identity that is no DNS name is escaped, so no two
// bases share a name. It returns an error where the name would be too long.
func NodeName(b tunnel.BaseID) (string, error) {
	if name, known := nodeNames.Get(b); known {
		return name, nil
	}
	name, err := nodeName(b)
	if err == nil {
		nodeNames.Add(b, name)
	}
	return name, err
}

func nodeName(b tunnel.BaseID) (string, error) {
	if err := CheckEnv(b.Env); err != nil {
		return "", err
	}
	if err := tunnel.CheckIdentity(b.Identity); err != nil {
		return "", err
	}
	identity := b.Identity
	if len(validation.IsDNS1123Subdomain(identity)) > 0 || strings.HasPrefix(identity, escaped) {
		identity = escape(identity)
	}
	name := nodePrefix + identity + "." + b.Env
	if faults := validation.IsDNS1123Subdomain(name); len(faults) > 0 {
		return "", fmt.Errorf("base %q makes no Node name: %s", b, strings.Join(faults, "; "))
	}
	return name, nil
}

// BaseOf is the inverse of NodeName; ok is false where the name is not one that
// NodeName gives.
func BaseOf(nodeName string) (b tunnel.BaseID, ok bool) {
	rest, found := strings.CutPrefix(nodeName, nodePrefix)
	dot := strings.LastIndexByte(rest, '.')
	if !found || dot < 1 {
		return b, false
	}
	b = tunnel.BaseID{Env: rest[dot+1:], Identity: rest[:dot]}
	if coded, is := strings.CutPrefix(b.Identity, escaped); is {
		if b.Identity, ok = unescape(coded); !ok {
			return tunnel.BaseID{}, false
		}
	}
	if name, err := NodeName(b); err != nil || name != nodeName {
		return tunnel.BaseID{}, false
	}
	return b, true
}

func escape(identity string) string {
	var b strings.Builder
	b.WriteString(escaped)
	for _, c := range []byte(identity) {
		if strings.IndexByte(unescaped, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "z%02x", c)
		}
	}
	return b.String()
}

func unescape(coded string) (string, bool) {
	var b strings.Builder
	for len(coded) > 0 {
		if coded[0] != 'z' {
			b.WriteByte(coded[0])
			coded = coded[1:]
			continue
		}
		if len(coded) < 3 {
			return "", false
		}
		c, err := hex.DecodeString(coded[1:3])
		if err != nil {
			return "", false
		}
		b.Write(c)
		coded = coded[3:]
	}
	return b.String(), true
}

// labelRunes are those that Kubernetes takes in a label's value.
const labelRunes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// labelValue gives a value that Kubernetes takes as a label's: the value itself
// where it is one, else its acceptable characters and a hash of the whole. safe
// says which.
func labelValue(value string) (label string, safe bool) {
	if len(validation.IsValidLabelValue(value)) == 0 {
		return value, true
	}
	sum := sha256.Sum256([]byte(value))
	cleaned := strings.Map(func(r rune) rune {
		if strings.ContainsRune(labelRunes, r) {
			return r
		}
		return '-'
	}, value)
	const keep = validation.LabelValueMaxLength - 9
	cleaned = strings.Trim(cleaned[:min(len(cleaned), keep)], "-_.")
	return strings.TrimLeft(cleaned+"-"+hex.EncodeToString(sum[:4]), "-"), false
}
