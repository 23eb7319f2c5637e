package gatepass

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Call is one to decide about: a permission, method and path, or all three.
type Call struct {
	// Token is what the caller presented; none is token_missing.
	Token Secret
	// Permission is one of the catalogue, such as charges:get.
	Permission string
	// Method and Path name a route of the catalogue.
	Method, Path string
	// Address, Origin and Referer are the caller's. Without an address, a token that is limited to
	// networks is refused.
	Address, Origin, Referer string
}

// Decision is whether a call may proceed, and why. Its zero value is a refusal.
type Decision struct {
	Allowed bool   `json:"allowed"`
	Reason  string `json:"reason"`
	// Status is the one to refuse with.
	Status int      `json:"status"`
	Needed []string `json:"needed"`
	// Help is the page that explains a refusal, to pass on to the caller.
	Help string `json:"help"`
	// Grant is the token's, once its secret matched; else nil.
	Grant *Grant `json:"grant"`
}

// Presented is where a token was presented.
type Presented struct{ Address, Origin, Referer string }

// Introspection is what RFC 7662 says of a token. Its zero value is an inactive one.
type Introspection struct {
	Active bool `json:"active"`
	// Scope has the effective permissions, separated by spaces.
	Scope     string `json:"scope"`
	ClientID  string `json:"client_id"`
	Subject   string `json:"sub"`
	TokenType string `json:"token_type"`
	Kind      string `json:"kind"`
	Company   string `json:"company"`
	// IssuedAt and ExpiresAt are Unix times in seconds; 0 if they aren't told.
	IssuedAt  int64 `json:"iat"`
	ExpiresAt int64 `json:"exp"`
}

// Verifier asks about calls and tokens.
//
// Questions change nothing, so they are repeated after an error that may pass.
type Verifier struct{ transport *transport }

// NewVerifier takes where Gatepass is served, or its verify port, and a verifier key. Options may
// be nil.
func NewVerifier(url, key string, options *Options) (*Verifier, error) {
	made, err := newTransport(url, key, options)
	if err != nil {
		return nil, err
	}
	return &Verifier{made}, nil
}

// Verify decides about one call. A refusal is a Decision, not an error.
func (v *Verifier) Verify(ctx context.Context, call Call) (Decision, error) {
	asked := question("/v1/verify", wire(call))
	var decision Decision
	if _, err := v.transport.send(ctx, asked, &decision); err != nil {
		return Decision{}, err
	}
	if !decision.sound() {
		return Decision{}, badAnswer(asked, http.StatusOK)
	}
	return decision, nil
}

// VerifyBatch decides about up to 100 calls; the decisions are in their order.
func (v *Verifier) VerifyBatch(ctx context.Context, calls []Call) ([]Decision, error) {
	all := make([]map[string]string, len(calls))
	for at, each := range calls {
		all[at] = wire(each)
	}
	asked := question("/v1/verify/batch", map[string]any{"calls": all})
	var answer struct {
		Decisions []Decision `json:"decisions"`
	}
	if _, err := v.transport.send(ctx, asked, &answer); err != nil {
		return nil, err
	}
	sound := len(answer.Decisions) == len(calls)
	for _, each := range answer.Decisions {
		sound = sound && each.sound()
	}
	if !sound {
		return nil, badAnswer(asked, http.StatusOK)
	}
	return answer.Decisions, nil
}

// Introspect says whether a token is valid here and now (RFC 7662), not whether it may do
// something.
func (v *Verifier) Introspect(ctx context.Context, token Secret, presented Presented) (Introspection, error) {
	form := url.Values{"token": {token.Reveal()}}
	for name, value := range map[string]string{
		"address": presented.Address, "origin": presented.Origin, "referer": presented.Referer,
	} {
		if value != "" {
			form.Set(name, value)
		}
	}
	asked := request{
		method: http.MethodPost, path: "/v1/introspect", body: []byte(form.Encode()),
		contentType: "application/x-www-form-urlencoded", repeatable: true,
	}
	var answer struct {
		Active *bool `json:"active"`
		Introspection
	}
	if _, err := v.transport.send(ctx, asked, &answer); err != nil {
		return Introspection{}, err
	}
	if answer.Active == nil {
		return Introspection{}, badAnswer(asked, http.StatusOK)
	}
	told := answer.Introspection
	told.Active = *answer.Active
	return told, nil
}

func question(path string, body any) request {
	// Maps of strings can't fail to encode.
	text, _ := json.Marshal(body)
	return request{method: http.MethodPost, path: path, body: text, contentType: "application/json", repeatable: true}
}

func wire(call Call) map[string]string {
	fields := map[string]string{
		"token": call.Token.Reveal(), "permission": call.Permission, "method": call.Method,
		"path": call.Path, "address": call.Address, "origin": call.Origin, "referer": call.Referer,
	}
	for name, value := range fields {
		if value == "" {
			delete(fields, name)
		}
	}
	return fields
}

func (d Decision) sound() bool { return d.Reason != "" && d.Allowed == (d.Reason == "allowed") }
