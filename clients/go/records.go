package gatepass

import "time"

// Company is one of the platform's customers.
type Company struct {
	Meta
	ID         string    `json:"id"`
	ExternalID *string   `json:"external_id"`
	Name       string    `json:"name"`
	Status     string    `json:"status"`
	CreatedAt  time.Time `json:"created_at"`
}

// Owner is what access tokens belong to: a service account or an external owner.
type Owner struct {
	Meta
	ID                string     `json:"id"`
	Type              string     `json:"type"`
	ExternalID        *string    `json:"external_id"`
	Name              string     `json:"name"`
	Role              string     `json:"role"`
	Status            string     `json:"status"`
	CreatedAt         time.Time  `json:"created_at"`
	CreatedBy         *string    `json:"created_by"`
	CreatedByName     *string    `json:"created_by_name"`
	DeactivatedAt     *time.Time `json:"deactivated_at"`
	DeactivatedBy     *string    `json:"deactivated_by"`
	DeactivatedByName *string    `json:"deactivated_by_name"`
}

// AccessToken is a token's record, without its text.
type AccessToken struct {
	Meta
	ID                   string            `json:"id"`
	Imported             bool              `json:"imported"`
	Label                string            `json:"label"`
	Kind                 string            `json:"kind"`
	Status               string            `json:"status"`
	Permissions          []string          `json:"permissions"`
	EffectivePermissions []string          `json:"effective_permissions"`
	Networks             []string          `json:"networks"`
	Domains              []string          `json:"domains"`
	ExpiresAt            *time.Time        `json:"expires_at"`
	Metadata             map[string]string `json:"metadata"`
	ExternalID           *string           `json:"external_id"`
	UnusedDays           *int              `json:"unused_days"`
	CreatedAt            time.Time         `json:"created_at"`
	Owner                TokenOwner        `json:"owner"`
	CreatedBy            *string           `json:"created_by"`
	CreatedByName        *string           `json:"created_by_name"`
	DeactivatedAt        *time.Time        `json:"deactivated_at"`
	DeactivatedBy        *string           `json:"deactivated_by"`
	DeactivatedByName    *string           `json:"deactivated_by_name"`
	LastUsed             *LastUsed         `json:"last_used"`
	Rotation             *Rotation         `json:"rotation"`
	Rehearsal            *Rehearsal        `json:"rehearsal"`
	Approval             *Approval         `json:"approval"`
	Exceptions           []Exception       `json:"exceptions"`
}

// CreatedAccessToken is a new token with its text, this one time.
type CreatedAccessToken struct {
	AccessToken
	Token Secret `json:"token"`
}

// TokenOwner names the owner of a token.
type TokenOwner struct {
	Type       string  `json:"type"`
	ID         string  `json:"id"`
	ExternalID *string `json:"external_id"`
	Name       string  `json:"name"`
}

// LastUsed is the latest use of a token.
type LastUsed struct {
	At      time.Time `json:"at"`
	Address *string   `json:"address"`
}

// Rotation says what a token replaces, or is replaced by.
type Rotation struct {
	Replaces   *string    `json:"replaces"`
	ReplacedBy *string    `json:"replaced_by"`
	Close      *string    `json:"close"`
	ClosesAt   *time.Time `json:"closes_at"`
	WaitingFor []string   `json:"waiting_for"`
	Callers    []Caller   `json:"callers"`
}

// Caller is one that used a token lately.
type Caller struct {
	Address    *string   `json:"address"`
	Permission *string   `json:"permission"`
	LastAt     time.Time `json:"last_at"`
	Count      int       `json:"count"`
}

// Rehearsal refuses a share of a token's calls for a while.
type Rehearsal struct {
	Until   time.Time `json:"until"`
	Share   int       `json:"share"`
	Refused int       `json:"refused"`
}

// Approval is that of a second person.
type Approval struct {
	PendingSince   *time.Time `json:"pending_since"`
	Until          *time.Time `json:"until"`
	ApprovedAt     *time.Time `json:"approved_at"`
	ApprovedBy     *string    `json:"approved_by"`
	ApprovedByName *string    `json:"approved_by_name"`
}

// Exception is a permission that a token has for a while.
type Exception struct {
	Permission string    `json:"permission"`
	Until      time.Time `json:"until"`
	Request    *string   `json:"request"`
}

// Grant is what a decision says of a token.
type Grant struct {
	ID          string            `json:"id"`
	Label       string            `json:"label"`
	Kind        string            `json:"kind"`
	Company     string            `json:"company"`
	User        string            `json:"user"`
	Owner       *TokenOwner       `json:"owner"`
	Permissions []string          `json:"permissions"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	Metadata    map[string]string `json:"metadata"`
	ExternalID  *string           `json:"external_id"`
}

// CreatedVerifierKey is a new verifier key with its text, this one time.
type CreatedVerifierKey struct {
	Meta
	ID                string     `json:"id"`
	Label             string     `json:"label"`
	Companies         []string   `json:"companies"`
	Status            string     `json:"status"`
	CreatedAt         time.Time  `json:"created_at"`
	CreatedBy         *string    `json:"created_by"`
	CreatedByName     *string    `json:"created_by_name"`
	DeactivatedAt     *time.Time `json:"deactivated_at"`
	DeactivatedBy     *string    `json:"deactivated_by"`
	DeactivatedByName *string    `json:"deactivated_by_name"`
	Key               Secret     `json:"key"`
}

// PortalSession is an opened one.
type PortalSession struct {
	Meta
	ID string `json:"id"`
	// Code is what the page of the session redeems, once, within 60 seconds.
	Code Secret `json:"code"`
	// URL is the ready page, with the code in its fragment.
	URL Secret `json:"url"`
}

func (c *CreatedAccessToken) secrets() []Secret { return []Secret{c.Token} }
func (c *CreatedVerifierKey) secrets() []Secret { return []Secret{c.Key} }
func (p *PortalSession) secrets() []Secret      { return []Secret{p.Code, p.URL} }
