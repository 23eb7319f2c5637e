package gatepass

import (
	"encoding/json"
	"fmt"
	"io"
)

const hidden = "[secret]"

// Secret is the text of a credential, which formatting, logs and JSON don't show. Only Reveal
// returns it.
type Secret struct {
	// A pointer: fmt doesn't follow one inside of somebody's unexported field, where it calls no
	// method either.
	text *string
}

// NewSecret hides a text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text itself: to hand over or to store, never to log.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns a placeholder.
func (s Secret) String() string { return hidden }

// Format writes the placeholder, for every verb.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, hidden) }

// MarshalText returns the placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalJSON reads a JSON string.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*s = NewSecret(text)
	return nil
}
