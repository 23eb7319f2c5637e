package gatepass

import (
	"encoding/json"
	"fmt"
	"time"
)

// Reasons of this client; all others are the server's.
const (
	// ReasonUnreachable: no answer arrived, or only a part of one.
	ReasonUnreachable = "unreachable"
	// ReasonTimeout: no answer arrived in time.
	ReasonTimeout = "timeout"
	// ReasonAborted: the caller's context ended the call.
	ReasonAborted = "aborted"
	// ReasonBadAnswer: the answer isn't one of Gatepass, so it decides nothing.
	ReasonBadAnswer = "bad_answer"
)

// FieldError is a field that isn't valid, and what it must be.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Error is a call that failed or was refused. It never means "allowed".
//
// No credential is in it: neither the client's own nor one that it asked about.
type Error struct {
	// Method and Path are those of the call.
	Method, Path string
	// Status is the HTTP status; 0 if there was no answer.
	Status int
	// Reason is what programs switch on: a reason of the server, or of this client. New ones can be
	// added.
	Reason string
	// Detail is a sentence for people.
	Detail string
	// Errors are the fields that aren't valid (422).
	Errors []FieldError
	// Needed are the permissions that the call needed, if the server says so.
	Needed []string
	// Address is the one that the server saw, if it says so.
	Address string
	// Help is the page that explains the refusal, if there is one.
	Help string
	// Current is the record as it is now: of a conflict, or of a change that stands
	// (not_confirmed).
	Current json.RawMessage
	// RetryAfter is how long to wait before another attempt, if the server says so.
	RetryAfter time.Duration

	cause error
}

// Error describes the call and why it failed.
func (e *Error) Error() string {
	status := ""
	if e.Status != 0 {
		status = fmt.Sprintf("%d ", e.Status)
	}
	return fmt.Sprintf("gatepass: %s %s: %s%s: %s", e.Method, e.Path, status, e.Reason, e.Detail)
}

// Unwrap returns the error of the network or the context, if there is one.
func (e *Error) Unwrap() error { return e.cause }

type problem struct {
	Reason  string          `json:"reason"`
	Detail  string          `json:"detail"`
	Errors  []FieldError    `json:"errors"`
	Needed  []string        `json:"needed"`
	Address string          `json:"address"`
	Help    string          `json:"help"`
	Current json.RawMessage `json:"current"`
}
