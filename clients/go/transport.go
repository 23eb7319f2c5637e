package gatepass

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	defaultRetries = 2
	// A server that asks for a longer wait is left to the caller.
	longestWait = 30 * time.Second
	firstWait   = 250 * time.Millisecond
	// Answers are cut there; the largest is a page of 200 records.
	longestAnswer = 32 << 20
)

// Options are how to call Gatepass; the zero value is fine.
type Options struct {
	// Timeout is how long one attempt may take, by default 10 seconds.
	Timeout time.Duration
	// Retries is how often a call that is safe to repeat is repeated, by default 2; never if
	// negative.
	Retries int
	// HTTPClient replaces the package's own, for a proxy, a Unix socket or tests. Its CheckRedirect
	// isn't used: no redirect is followed.
	HTTPClient *http.Client
}

// CallOption is what holds for one call.
type CallOption func(http.Header)

// IdempotencyKey names this attempt, for 24 hours: the same key with the same body gets the same
// answer, secrets included. By default it is a random one, which lets the client repeat the call,
// but not your program. For calls that create or act.
func IdempotencyKey(key string) CallOption {
	return func(header http.Header) { header.Set("Idempotency-Key", key) }
}

// IfMatch takes a record's ETag: if somebody changed it meanwhile, the call is 409
// changed_meanwhile. For calls that change a record.
func IfMatch(etag string) CallOption {
	return func(header http.Header) { header.Set("If-Match", etag) }
}

// Meta is what an answer says of its record.
type Meta struct {
	// ETag is the record's version, for IfMatch; empty if it has none.
	ETag string `json:"-"`
	// Unconfirmed says that the server that answered decides by a new record only within seconds;
	// the record exists all the same.
	Unconfirmed bool `json:"-"`
}

func (m *Meta) keep(from Meta) { *m = from }

type request struct {
	method, path string
	query        url.Values
	body         []byte
	contentType  string
	header       http.Header
	// Whether a repetition changes nothing more than the call itself.
	repeatable bool
}

// Follows no redirect: another server isn't asked.
type transport struct {
	base string
	// A closure: fmt shows the fields of structs.
	authorize func(http.Header)
	client    http.Client
	timeout   time.Duration
	retries   int
}

var visible = regexp.MustCompile(`^[!-~]+$`)

func newTransport(base, key string, options *Options) (*transport, error) {
	parsed, err := url.Parse(base)
	if err != nil || (parsed.Scheme != "http" && parsed.Scheme != "https") || parsed.Host == "" ||
		parsed.User != nil || strings.ContainsAny(base, "?#") {
		return nil, errors.New("gatepass: the URL must be http or https, without user, query and fragment")
	}
	if !visible.MatchString(key) {
		return nil, errors.New("gatepass: the key must be a credential's text")
	}
	if options == nil {
		options = &Options{}
	}
	made := &transport{
		base:      strings.TrimRight(base, "/"),
		authorize: func(header http.Header) { header.Set("Authorization", "Bearer "+key) },
		timeout:   options.Timeout,
		retries:   options.Retries,
	}
	if made.timeout <= 0 {
		made.timeout = defaultTimeout
	}
	if made.retries == 0 {
		made.retries = defaultRetries
	}
	if options.HTTPClient != nil {
		made.client = *options.HTTPClient
	} else {
		connections := http.DefaultTransport.(*http.Transport).Clone()
		// All calls go to one host; more than 2 of them may be under way.
		connections.MaxIdleConnsPerHost = connections.MaxIdleConns
		made.client.Transport = connections
	}
	made.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return made, nil
}

// Every error is an *Error, or says what is wrong with an argument.
func (t *transport) send(ctx context.Context, call request, into any) (Meta, error) {
	for attempt := 0; ; attempt++ {
		meta, failure := t.attempt(ctx, call, into)
		if failure == nil {
			return meta, nil
		}
		wait, again := waitAfter(failure, attempt)
		if !call.repeatable || attempt >= t.retries || !again {
			return Meta{}, failure
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return Meta{}, aborted(call, ctx)
		}
	}
}

func (t *transport) attempt(ctx context.Context, call request, into any) (Meta, *Error) {
	limited, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	target := t.base + call.path
	if len(call.query) > 0 {
		target += "?" + call.query.Encode()
	}
	sent, err := http.NewRequestWithContext(limited, call.method, target, bytes.NewReader(call.body))
	if err != nil {
		return Meta{}, &Error{Method: call.method, Path: call.path, Reason: ReasonUnreachable, Detail: "No request.", cause: err}
	}
	sent.Header = call.header.Clone()
	if sent.Header == nil {
		sent.Header = http.Header{}
	}
	t.authorize(sent.Header)
	sent.Header.Set("Accept", "application/json")
	sent.Header.Set("User-Agent", "gatepass-go/"+Version)
	if call.contentType != "" {
		sent.Header.Set("Content-Type", call.contentType)
	}
	answer, err := t.client.Do(sent)
	var body []byte
	if err == nil {
		defer answer.Body.Close()
		body, err = io.ReadAll(io.LimitReader(answer.Body, longestAnswer))
	}
	if err != nil {
		if ctx.Err() != nil {
			return Meta{}, aborted(call, ctx)
		}
		failure := &Error{Method: call.method, Path: call.path, Reason: ReasonUnreachable, Detail: "No answer.", cause: err}
		if limited.Err() != nil {
			failure.Reason, failure.Detail = ReasonTimeout, "No answer within "+t.timeout.String()+"."
		}
		return Meta{}, failure
	}
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		// "null" decodes into anything.
		if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || json.Unmarshal(body, into) != nil {
			return Meta{}, badAnswer(call, answer.StatusCode)
		}
		return Meta{answer.Header.Get("ETag"), answer.Header.Get("Gatepass-Confirmed") == "false"}, nil
	}
	failure := badAnswer(call, answer.StatusCode)
	var told problem
	if json.Unmarshal(body, &told) == nil && told.Reason != "" && told.Detail != "" {
		failure.Reason, failure.Detail = told.Reason, told.Detail
		failure.Errors, failure.Needed, failure.Current = told.Errors, told.Needed, told.Current
		failure.Address, failure.Help = told.Address, told.Help
	}
	failure.RetryAfter = secondsOf(answer.Header.Get("Retry-After"))
	return Meta{}, failure
}

// The answer's text isn't in the error: it may repeat the request.
func badAnswer(call request, status int) *Error {
	return &Error{Method: call.method, Path: call.path, Status: status, Reason: ReasonBadAnswer, Detail: "The answer isn't one of Gatepass."}
}

func aborted(call request, ctx context.Context) *Error {
	return &Error{Method: call.method, Path: call.path, Reason: ReasonAborted, Detail: "The caller ended it.", cause: ctx.Err()}
}

// How long to wait before a repetition, and whether there is to be one.
func waitAfter(failure *Error, attempt int) (time.Duration, bool) {
	switch failure.Status {
	case 0:
		if failure.Reason == ReasonAborted {
			return 0, false
		}
	case 408, 429, 502, 503, 504:
		// The change stands, so a repetition has nothing left to do.
		if failure.Reason == "not_confirmed" || failure.RetryAfter > longestWait {
			return 0, false
		}
	default:
		return 0, false
	}
	// Clients that failed together don't come back together.
	jitter := 0.5 + float64(time.Now().UnixNano()%1000)/2000
	own := time.Duration(float64(firstWait<<attempt) * jitter)
	if failure.RetryAfter > own {
		return failure.RetryAfter, true
	}
	return own, true
}

// The wait of a Retry-After, which is a number of seconds or a date.
func secondsOf(value string) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		if wait := time.Until(at); wait > 0 {
			return wait
		}
	}
	return 0
}

// A path of segments, each of them percent-encoded.
func pathOf(segments ...string) (string, error) {
	path := "/v1"
	for _, each := range segments {
		// URLs resolve these: the call would be another one.
		if each == "" || each == "." || each == ".." {
			return "", errors.New(`gatepass: an id must not be empty, "." or ".."`)
		}
		path += "/" + url.PathEscape(each)
	}
	return path, nil
}
