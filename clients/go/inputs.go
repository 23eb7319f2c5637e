package gatepass

import (
	"encoding/json"
	"net/url"
	"reflect"
	"time"
)

// NewOwner is an owner to put.
type NewOwner struct {
	// Type is external or service_account.
	Type string `json:"type"`
	Name string `json:"name"`
	// Role is the id of the role that bounds its tokens.
	Role string `json:"role"`
}

// OwnerReference names an owner by one of the two.
type OwnerReference struct {
	ID         string `json:"id,omitempty"`
	ExternalID string `json:"external_id,omitempty"`
}

// NewAccessToken is a token to create; fields that are left out set no limit.
type NewAccessToken struct {
	Owner OwnerReference `json:"owner"`
	Label string         `json:"label"`
	// Kind is api or ui.
	Kind        string            `json:"kind"`
	Permissions []string          `json:"permissions,omitempty"`
	ExpiresAt   *time.Time        `json:"expires_at,omitempty"`
	Networks    []string          `json:"networks,omitempty"`
	Domains     []string          `json:"domains,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	ExternalID  string            `json:"external_id,omitempty"`
	UnusedDays  int               `json:"unused_days,omitempty"`
}

// Change is the new value of a field. Its zero value leaves the field as it is.
type Change[T any] struct {
	given bool
	value *T
}

// Set changes a field to a value.
func Set[T any](value T) Change[T] { return Change[T]{true, &value} }

// Null changes a field to null: no expiry, no external id.
func Null[T any]() Change[T] { return Change[T]{given: true} }

func (c Change[T]) isGiven() bool { return c.given }

// MarshalJSON encodes the value.
func (c Change[T]) MarshalJSON() ([]byte, error) { return json.Marshal(c.value) }

// AccessTokenChanges are the fields of a token to change.
type AccessTokenChanges struct {
	Label       Change[string]            `json:"label"`
	Permissions Change[[]string]          `json:"permissions"`
	ExpiresAt   Change[time.Time]         `json:"expires_at"`
	Networks    Change[[]string]          `json:"networks"`
	Domains     Change[[]string]          `json:"domains"`
	Metadata    Change[map[string]string] `json:"metadata"`
	ExternalID  Change[string]            `json:"external_id"`
	UnusedDays  Change[int]               `json:"unused_days"`
}

// MarshalJSON encodes the fields that are given.
func (c AccessTokenChanges) MarshalJSON() ([]byte, error) {
	given := map[string]any{}
	fields := reflect.ValueOf(c)
	for at := 0; at < fields.NumField(); at++ {
		field := fields.Field(at).Interface()
		if field.(interface{ isGiven() bool }).isGiven() {
			given[fields.Type().Field(at).Tag.Get("json")] = field
		}
	}
	return json.Marshal(given)
}

// AccessTokenRotation is how a new token replaces an old one.
type AccessTokenRotation struct {
	// Close is now, after or when_silent.
	Close string `json:"close"`
	// After and SilentFor are seconds.
	After     int    `json:"after,omitempty"`
	SilentFor int    `json:"silent_for,omitempty"`
	Label     string `json:"label,omitempty"`
}

// NewVerifierKey is a verifier key to create.
type NewVerifierKey struct {
	Label string `json:"label"`
	// Companies are the ids of those that it decides for; nil is all.
	Companies []string `json:"companies,omitempty"`
}

// NewPortalSession is a portal session to open.
type NewPortalSession struct {
	Company string         `json:"company"`
	Owner   OwnerReference `json:"owner"`
	Origins []string       `json:"origins"`
	// Permissions are what its tokens may hold; nil is what the owner's role has of the catalogue
	// file.
	Permissions []string `json:"permissions,omitempty"`
	// ExpiresIn is seconds from the redeeming of its code.
	ExpiresIn int `json:"expires_in"`
}

// CompanyFilters are those of a list of companies.
type CompanyFilters struct {
	ExternalID string `query:"external_id"`
}

// OwnerFilters are those of a list of owners.
type OwnerFilters struct {
	Type       string `query:"type"`
	ExternalID string `query:"external_id"`
}

// AccessTokenFilters are the filters and the order of a list of access tokens.
type AccessTokenFilters struct {
	Sort          string    `query:"sort"`
	Order         string    `query:"order"`
	Query         string    `query:"q"`
	Status        string    `query:"status"`
	Permission    string    `query:"permission"`
	Kind          string    `query:"kind"`
	Owner         string    `query:"owner"`
	CreatedBy     string    `query:"created_by"`
	Metadata      string    `query:"metadata"`
	ExternalID    string    `query:"external_id"`
	ExpiresBefore time.Time `query:"expires_before"`
	Used          string    `query:"used"`
	UnusedSince   time.Time `query:"unused_since"`
	Network       string    `query:"network"`
}

func queryOf(filters any) url.Values {
	query := url.Values{}
	fields := reflect.ValueOf(filters)
	for at := 0; at < fields.NumField(); at++ {
		name := fields.Type().Field(at).Tag.Get("query")
		switch value := fields.Field(at).Interface().(type) {
		case string:
			if value != "" {
				query.Set(name, value)
			}
		case time.Time:
			if !value.IsZero() {
				query.Set(name, value.Format(time.RFC3339Nano))
			}
		}
	}
	return query
}
