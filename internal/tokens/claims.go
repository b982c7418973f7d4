package tokens

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Claims are what a token says of itself. Anybody can write them: they are good for
// refusing a token, never for believing one.
type Claims struct {
	Subject string
	// PodUID is the UID of the Pod that a token of a service account says it is bound to;
	// empty where it says nothing.
	PodUID string

	audiences []string
	expires   time.Time // zero where it says nothing
}

const (
	// maxToken bounds a token, in bytes. Those of service accounts have about 1,200.
	maxToken = 8 << 10
	// clockSkew is how far our clock may be ahead of the API server's.
	clockSkew = time.Minute
)

// read takes the claims out of a JSON web token, whose signature it does not look at.
func read(token string) (Claims, error) {
	var c Claims
	if len(token) > maxToken {
		return c, fmt.Errorf("it has %d bytes, more than %d", len(token), maxToken)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return c, errors.New("it is no JSON web token, as those of service accounts are")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return c, errors.New("it is no JSON web token: its claims are not base64")
	}
	var said struct {
		Subject    string    `json:"sub"`
		Audience   audiences `json:"aud"`
		Expires    float64   `json:"exp"`
		Kubernetes struct {
			Pod struct {
				UID string `json:"uid"`
			} `json:"pod"`
		} `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return c, errors.New("it is no JSON web token: its claims are not JSON")
	}
	c.Subject, c.PodUID, c.audiences = said.Subject, said.Kubernetes.Pod.UID, said.Audience
	if said.Expires > 0 {
		c.expires = time.Unix(int64(said.Expires), 0)
	}
	return c, nil
}

// check says why the API server would refuse a token with these claims.
func (c Claims) check(audience string, now time.Time) error {
	if audience != "" && !slices.Contains(c.audiences, audience) {
		return fmt.Errorf("its audiences are %q: it must be requested for audience %q", c.audiences, audience)
	}
	if !c.expires.IsZero() && now.After(c.expires.Add(clockSkew)) {
		return fmt.Errorf("it expired at %s: read it again from its file", c.expires.UTC().Format(time.RFC3339))
	}
	return nil
}

// audiences are one or many.
type audiences []string

func (a *audiences) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audiences{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}
