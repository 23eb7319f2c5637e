package gatepass

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Iterator goes through a list, and asks for its pages as they are needed. It isn't safe for
// concurrent use.
//
//	for tokens.Next(ctx) {
//		use(tokens.Value())
//	}
//	if err := tokens.Err(); err != nil { … }
type Iterator[T any] struct {
	transport *transport
	path      string
	query     url.Values
	page      []T
	value     T
	last      bool
	err       error
}

func list[T any](t *transport, filters any, segments ...string) *Iterator[T] {
	path, err := pathOf(segments...)
	return &Iterator[T]{transport: t, path: path, query: queryOf(filters), err: err}
}

// Next goes to the next record. It returns false at the end, and after an error: ask Err.
func (i *Iterator[T]) Next(ctx context.Context) bool {
	for i.err == nil && len(i.page) == 0 && !i.last {
		i.fetch(ctx)
	}
	if i.err != nil || len(i.page) == 0 {
		return false
	}
	i.value, i.page = i.page[0], i.page[1:]
	return true
}

// Value is the record that Next went to.
func (i *Iterator[T]) Value() T { return i.value }

// Err is why Next stopped before the end, or nil.
func (i *Iterator[T]) Err() error { return i.err }

// All returns the records that are left.
func (i *Iterator[T]) All(ctx context.Context) ([]T, error) {
	var all []T
	for i.Next(ctx) {
		all = append(all, i.value)
	}
	if i.err != nil {
		return nil, i.err
	}
	return all, nil
}

func (i *Iterator[T]) fetch(ctx context.Context) {
	asked := request{method: http.MethodGet, path: i.path, query: i.query, repeatable: true}
	var page struct {
		Items *[]T            `json:"items"`
		Next  json.RawMessage `json:"next"`
	}
	if _, i.err = i.transport.send(ctx, asked, &page); i.err != nil {
		return
	}
	var next string
	last := string(page.Next) == "null"
	sound := page.Items != nil && (last || json.Unmarshal(page.Next, &next) == nil)
	// A page that names itself as the next one would never end.
	if !sound || (!last && next == i.query.Get("cursor")) {
		i.err = badAnswer(asked, http.StatusOK)
		return
	}
	i.page, i.last = *page.Items, last
	i.query.Set("cursor", next)
}
