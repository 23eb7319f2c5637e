package gatepass

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// External is your own id, where a company's or an owner's id is expected.
func External(id string) string { return "ext:" + id }

// Admin manages companies, owners and their access tokens.
//
// A company or owner is named by its id or by External("your-id"). Calls that are safe to repeat
// are repeated after an error that may pass: all but Modify.
type Admin struct {
	Companies      Companies
	Owners         Owners
	AccessTokens   AccessTokens
	VerifierKeys   VerifierKeys
	PortalSessions PortalSessions
}

// NewAdmin takes where Gatepass is served, and an admin key. Options may be nil.
func NewAdmin(url, key string, options *Options) (*Admin, error) {
	made, err := newTransport(url, key, options)
	if err != nil {
		return nil, err
	}
	return &Admin{Companies{made}, Owners{made}, AccessTokens{made}, VerifierKeys{made}, PortalSessions{made}}, nil
}

// Companies are the platform's customers.
type Companies struct{ transport *transport }

// Put creates the company of your id, or renames the active one that has it.
func (c Companies) Put(ctx context.Context, externalID, name string) (*Company, error) {
	body := map[string]string{"name": name}
	return send[Company](ctx, c.transport, http.MethodPut, body, nil, "companies", "by-external-id", externalID)
}

// Get returns one company.
func (c Companies) Get(ctx context.Context, id string) (*Company, error) {
	return send[Company](ctx, c.transport, http.MethodGet, nil, nil, "companies", id)
}

// List goes through all companies that the key may manage, the newest first.
func (c Companies) List(filters CompanyFilters) *Iterator[Company] {
	return list[Company](c.transport, filters, "companies")
}

// Modify renames a company.
func (c Companies) Modify(ctx context.Context, id, name string, options ...CallOption) (*Company, error) {
	body := map[string]string{"name": name}
	return send[Company](ctx, c.transport, http.MethodPatch, body, options, "companies", id)
}

// Deactivate ends all that the company owns, for good.
func (c Companies) Deactivate(ctx context.Context, id string, options ...CallOption) (*Company, error) {
	return send[Company](ctx, c.transport, http.MethodPost, nothing, options, "companies", id, "deactivate")
}

// Owners are what access tokens belong to.
type Owners struct{ transport *transport }

// Put creates the owner of your id, or changes the active one that has it.
func (o Owners) Put(ctx context.Context, company, externalID string, owner NewOwner) (*Owner, error) {
	return send[Owner](ctx, o.transport, http.MethodPut, owner, nil, "companies", company, "owners", "by-external-id", externalID)
}

// Get returns one owner.
func (o Owners) Get(ctx context.Context, company, id string) (*Owner, error) {
	return send[Owner](ctx, o.transport, http.MethodGet, nil, nil, "companies", company, "owners", id)
}

// List goes through the owners of a company, the newest first.
func (o Owners) List(company string, filters OwnerFilters) *Iterator[Owner] {
	return list[Owner](o.transport, filters, "companies", company, "owners")
}

// Deactivate ends the owner and its access tokens, for good.
func (o Owners) Deactivate(ctx context.Context, company, id string, options ...CallOption) (*Owner, error) {
	return send[Owner](ctx, o.transport, http.MethodPost, nothing, options, "companies", company, "owners", id, "deactivate")
}

// AccessTokens are those of companies.
type AccessTokens struct{ transport *transport }

// Create makes a token of an owner. Only this answer has its text.
func (a AccessTokens) Create(ctx context.Context, company string, token NewAccessToken, options ...CallOption) (*CreatedAccessToken, error) {
	return send[CreatedAccessToken](ctx, a.transport, http.MethodPost, token, options, "companies", company, "access-tokens")
}

// Get returns one token.
func (a AccessTokens) Get(ctx context.Context, company, id string) (*AccessToken, error) {
	return send[AccessToken](ctx, a.transport, http.MethodGet, nil, nil, "companies", company, "access-tokens", id)
}

// List goes through the company's tokens that match all filters, the newest first unless Sort says
// otherwise.
func (a AccessTokens) List(company string, filters AccessTokenFilters) *Iterator[AccessToken] {
	return list[AccessToken](a.transport, filters, "companies", company, "access-tokens")
}

// Modify changes the fields that are given.
func (a AccessTokens) Modify(ctx context.Context, company, id string, changes AccessTokenChanges, options ...CallOption) (*AccessToken, error) {
	return send[AccessToken](ctx, a.transport, http.MethodPatch, changes, options, "companies", company, "access-tokens", id)
}

// Rotate replaces a token with a new one, whose text only this answer has.
func (a AccessTokens) Rotate(ctx context.Context, company, id string, rotation AccessTokenRotation, options ...CallOption) (*CreatedAccessToken, error) {
	return send[CreatedAccessToken](ctx, a.transport, http.MethodPost, rotation, options, "companies", company, "access-tokens", id, "rotate")
}

// Deactivate ends a token for good.
func (a AccessTokens) Deactivate(ctx context.Context, company, id string, options ...CallOption) (*AccessToken, error) {
	return send[AccessToken](ctx, a.transport, http.MethodPost, nothing, options, "companies", company, "access-tokens", id, "deactivate")
}

// VerifierKeys are the credentials of services that ask for decisions.
type VerifierKeys struct{ transport *transport }

// Create makes a verifier key, of all companies or of the ones named. Only this answer has its
// text.
func (v VerifierKeys) Create(ctx context.Context, key NewVerifierKey, options ...CallOption) (*CreatedVerifierKey, error) {
	return send[CreatedVerifierKey](ctx, v.transport, http.MethodPost, key, options, "verifier-keys")
}

// PortalSessions let an owner manage its access tokens on your page.
type PortalSessions struct{ transport *transport }

// Create opens a session.
func (p PortalSessions) Create(ctx context.Context, session NewPortalSession, options ...CallOption) (*PortalSession, error) {
	return send[PortalSession](ctx, p.transport, http.MethodPost, session, options, "portal-sessions")
}

// The body of an action.
var nothing = struct{}{}

func send[T any](ctx context.Context, t *transport, method string, body any, options []CallOption, segments ...string) (*T, error) {
	path, err := pathOf(segments...)
	if err != nil {
		return nil, err
	}
	call := request{method: method, path: path, header: http.Header{}, repeatable: method != http.MethodPatch}
	if body != nil {
		if call.body, err = json.Marshal(body); err != nil {
			return nil, err
		}
		call.contentType = "application/json"
	}
	if method == http.MethodPost {
		random := make([]byte, 16)
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		IdempotencyKey(hex.EncodeToString(random))(call.header)
	}
	for _, option := range options {
		option(call.header)
	}
	var record T
	meta, err := t.send(ctx, call, &record)
	if err != nil {
		return nil, err
	}
	if made, ok := any(&record).(interface{ secrets() []Secret }); ok {
		for _, each := range made.secrets() {
			if each.Reveal() == "" {
				return nil, badAnswer(call, http.StatusCreated)
			}
		}
	}
	any(&record).(interface{ keep(Meta) }).keep(meta)
	return &record, nil
}
