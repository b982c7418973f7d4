package processes

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

const (
	// maxLine bounds what is read at once, in bytes.
	maxLine = 256 << 10
	// silence ends a connection on which nothing was sent.
	silence = time.Minute
)

// hello is what a base says of itself once it was challenged, and at each beat.
type hello struct {
	Env      string `json:"env"`
	Identity string `json:"identity"`
	Name     string `json:"name"`
	Version  string `json:"version"`
	Cluster  string `json:"cluster"`
	IP       string `json:"ip"`
	Hostname string `json:"hostname"`
	// Process is another one for each process of the base.
	Process string `json:"process"`
	// Proof is that of the challenge; of the first hello only.
	Proof string `json:"proof,omitempty"`
}

// order is what a base is asked for. Each is answered by its number.
type order struct {
	Number  uint64            `json:"number"`
	Do      string            `json:"do"` // start, stop, promote, list or measure
	Name    string            `json:"name,omitempty"`
	Version string            `json:"version,omitempty"`
	From    string            `json:"from,omitempty"`
	Alone   bool              `json:"alone,omitempty"` // stop all versions first
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Ticket  string            `json:"ticket,omitempty"` // is taken once
}

// line is what a base sends: one of its parts.
type line struct {
	// Clock is the base's time, in milliseconds since 1970.
	Clock int64  `json:"clock"`
	Hello *hello `json:"hello,omitempty"`
	// Number is that of the order which the others answer.
	Number  uint64   `json:"number,omitempty"`
	Result  string   `json:"result,omitempty"` // done, there, absent, busy or failed
	Text    string   `json:"text,omitempty"`
	Is      *named   `json:"is,omitempty"` // what was found at From
	Running *[]named `json:"running,omitempty"`
	Load    *load    `json:"load,omitempty"`
}

// named is a module of a base.
type named struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state,omitempty"` // starting, serving or waiting
	Since   int64  `json:"since,omitempty"` // in milliseconds since 1970
}

// load is what a base uses.
type load struct {
	Memory int64         `json:"memory"` // bytes that its modules use
	Limit  int64         `json:"limit"`
	CPUs   int           `json:"cpus"`
	Up     time.Duration `json:"up"` // in nanoseconds
}

// KeyOf gives the key of one base, which is provisioned to it, from that of the fleet.
func KeyOf(fleet []byte, env, identity string) []byte { return sign(fleet, env+"/"+identity) }

func proofOf(key []byte, challenge string) string { return hex.EncodeToString(sign(key, challenge)) }

func sign(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text)) // it never fails
	return h.Sum(nil)
}

var errLong = errors.New("line is too long")

// read reads one line of JSON. What is none, or too long, is garbage: the next line may be read.
func read(r *bufio.Reader, into any) error {
	text, err := r.ReadSlice('\n')
	long := errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = r.ReadSlice('\n')
	}
	switch {
	case err != nil:
		return err
	case long:
		return garbage{errLong}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return garbage{err}
	}
	return nil
}

// garbage is a line that is no JSON of ours.
type garbage struct{ error }
