package webhooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Headers of a request.
const (
	// HeaderTime has the second at which it was sent, as a Unix time.
	HeaderTime = "Module-Controller-Timestamp"
	// HeaderSignature has "v1=" and the signature.
	HeaderSignature = "Module-Controller-Signature"
)

// Sign gives the signature of a body that is sent at a time: the HMAC-SHA256 of the time in
// Unix seconds, a dot and the body, in hexadecimal digits.
func Sign(secret []byte, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(stamp(at) + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func stamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

// post sends a failure once. Again says of an error that another try may help.
func (s *Sender) post(ctx context.Context, h *hook, l letter) (again bool, err error) {
	secret, err := s.cfg.secret()
	if err != nil {
		return true, err // it is being replaced
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(l.body))
	if err != nil {
		return false, err
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", s.deps.UserAgent)
	req.Header.Set(HeaderTime, stamp(now))
	req.Header.Set(HeaderSignature, "v1="+Sign(secret, now, l.body))
	resp, err := s.client.Do(req)
	if err != nil {
		return true, err
	}
	if err := resp.Body.Close(); err != nil {
		return true, err
	}
	return judge(resp.StatusCode)
}

// judge says what follows from an answer.
func judge(status int) (again bool, err error) {
	switch {
	case status >= 200 && status < 300:
		return false, nil
	case status >= 500, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return true, fmt.Errorf("it answered %d", status)
	case status >= 300 && status < 400:
		return false, fmt.Errorf("it answered %d: redirects are not followed, name the place that it leads to", status)
	}
	return false, fmt.Errorf("it answered %d", status)
}

// withoutURL takes the URL out of an error of the client: it may be a secret.
func withoutURL(err error) error {
	if of, is := errors.AsType[*url.Error](err); is {
		return of.Err
	}
	return err
}
