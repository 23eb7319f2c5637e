// Package gatepass is a client of Gatepass, a self-hosted access-token authority.
//
// [Verifier] asks for decisions about calls, with a verifier key. [Admin] manages companies, owners
// and access tokens, with an admin key. Both are safe for concurrent use.
//
// An error never means "allowed": every method that fails returns a zero value, and a zero
// [Decision] is a refusal. Refused and failed calls are an [*Error] with a reason to switch on.
//
// Texts of credentials are a [Secret], which formatting, logs and JSON don't show.
package gatepass

// Version is the client's.
const Version = "0.1.0"
