package gatepass

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const token = "gpat_4fT0aB3cD5eF7gH9_the_text_of_a_token"
const key = "gpvk_4fT0aB3cD5eF7gH9_the_text_of_a_key"

type reply struct {
	status int
	header map[string]string
	body   string
}

// A server that answers one reply after the other, the last one again and again.
type scripted struct {
	*httptest.Server
	replies []reply
	asked   []*http.Request
	bodies  []string
}

func script(t *testing.T, replies ...reply) *scripted {
	t.Helper()
	made := &scripted{replies: replies}
	made.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, asked *http.Request) {
		body, _ := io.ReadAll(asked.Body)
		made.asked, made.bodies = append(made.asked, asked), append(made.bodies, string(body))
		next := made.replies[0]
		if len(made.replies) > 1 {
			made.replies = made.replies[1:]
		}
		if next.status == 0 {
			panic(http.ErrAbortHandler)
		}
		for name, value := range next.header {
			answer.Header().Set(name, value)
		}
		answer.WriteHeader(next.status)
		_, _ = io.WriteString(answer, next.body)
	}))
	t.Cleanup(made.Close)
	return made
}

func (s *scripted) verifier(t *testing.T) *Verifier {
	t.Helper()
	made, err := NewVerifier(s.URL, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (s *scripted) admin(t *testing.T) *Admin {
	t.Helper()
	made, err := NewAdmin(s.URL, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func failed(t *testing.T, err error, reason string) *Error {
	t.Helper()
	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("not an *Error: %v", err)
	}
	if failure.Reason != reason {
		t.Fatalf("reason %q, expected %q", failure.Reason, reason)
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v %#v", failure, failure)} {
		if strings.Contains(text, "the_text_of") {
			t.Fatalf("a credential is in %s", text)
		}
	}
	return failure
}

func problemOf(status int, reason string) reply {
	return reply{status, nil, fmt.Sprintf(`{"status": %d, "reason": %q, "detail": "Why."}`, status, reason)}
}

const allowed = `{"allowed": true, "reason": "allowed", "status": 200, "needed": []}`

func TestOnlyAWholeDecisionIsOne(t *testing.T) {
	for _, body := range []string{
		"", "null", "[]", "true", "{}", `"allowed"`, "<html>", `{"allowed": true}`,
		`{"allowed": "true", "reason": "allowed"}`, `{"allowed": 1, "reason": "allowed"}`,
		`{"allowed": true, "reason": "token_invalid"}`, `{"allowed": false, "reason": "allowed"}`,
		`{"reason": "allowed"}`, allowed[:len(allowed)-1], allowed + allowed,
	} {
		server := script(t, reply{200, nil, body})
		decision, err := server.verifier(t).Verify(context.Background(), Call{Token: NewSecret(token)})
		failed(t, err, ReasonBadAnswer)
		if decision.Allowed {
			t.Fatalf("%s allowed a call", body)
		}
		_, err = server.verifier(t).VerifyBatch(context.Background(), []Call{{}})
		failed(t, err, ReasonBadAnswer)
	}
	for _, decisions := range []string{"", allowed, allowed + "," + allowed + "," + allowed} {
		server := script(t, reply{200, nil, `{"decisions": [` + decisions + `]}`})
		_, err := server.verifier(t).VerifyBatch(context.Background(), make([]Call, 2))
		failed(t, err, ReasonBadAnswer)
	}
}

func TestAnErrorIsNeverAllowed(t *testing.T) {
	for _, status := range []int{301, 302, 307, 400, 401, 403, 404, 422, 500} {
		server := script(t, reply{status, map[string]string{"Location": "/elsewhere"}, allowed})
		decision, err := server.verifier(t).Verify(context.Background(), Call{Token: NewSecret(token)})
		if failure := failed(t, err, ReasonBadAnswer); failure.Status != status || decision.Allowed {
			t.Fatalf("%d: %v", status, decision)
		}
		if len(server.asked) != 1 {
			t.Fatalf("%d was followed or repeated", status)
		}
	}
}

func TestAProblemIsTyped(t *testing.T) {
	body := `{"status": 422, "reason": "invalid", "detail": "Why.", "needed": ["charges:get"],
		"errors": [{"field": "label", "message": "Must be shorter."}], "address": "192.0.2.1",
		"help": "https://tokens.example.com/decisions/dec_1", "current": {"label": "Till"}}`
	server := script(t, reply{422, nil, body})
	_, err := server.admin(t).Companies.Put(context.Background(), "a", "b")
	failure := failed(t, err, "invalid")
	if failure.Errors[0] != (FieldError{"label", "Must be shorter."}) || failure.Needed[0] != "charges:get" ||
		failure.Address != "192.0.2.1" || !strings.HasSuffix(failure.Help, "/dec_1") ||
		string(failure.Current) != `{"label": "Till"}` {
		t.Fatalf("%#v", failure)
	}
	if err.Error() != "gatepass: PUT /v1/companies/by-external-id/a: 422 invalid: Why." {
		t.Fatal(err)
	}
}

func TestRepeatsWhatIsSafe(t *testing.T) {
	record := reply{200, nil, `{"id": "com_1", "created_at": "2027-01-01T00:00:00Z"}`}
	for name, do := range map[string]func(*Admin) error{
		"GET":  func(a *Admin) error { _, err := a.Companies.Get(context.Background(), "com_1"); return err },
		"PUT":  func(a *Admin) error { _, err := a.Companies.Put(context.Background(), "a", "b"); return err },
		"POST": func(a *Admin) error { _, err := a.Companies.Deactivate(context.Background(), "com_1"); return err },
	} {
		for _, first := range []reply{{}, problemOf(503, "unavailable"), problemOf(429, "too_many_attempts"), {502, nil, "<html>"}} {
			server := script(t, first, record)
			if err := do(server.admin(t)); err != nil || len(server.asked) != 2 {
				t.Fatalf("%s after %v: %v, %d attempts", name, first, err, len(server.asked))
			}
			before, after := server.asked[0].Header.Get("Idempotency-Key"), server.asked[1].Header.Get("Idempotency-Key")
			if before != after || (name == "POST") != (len(before) >= 16) {
				t.Fatalf("%s: keys %q and %q", name, before, after)
			}
		}
	}
	server := script(t, problemOf(503, "stale"), reply{200, nil, allowed})
	if decision, err := server.verifier(t).Verify(context.Background(), Call{}); err != nil || !decision.Allowed {
		t.Fatal(err)
	}
}

func TestRepeatsNothingElse(t *testing.T) {
	server := script(t, problemOf(503, "unavailable"))
	_, err := server.admin(t).Companies.Modify(context.Background(), "com_1", "b", IfMatch(`"1"`))
	failed(t, err, "unavailable")
	if len(server.asked) != 1 || server.asked[0].Header.Get("If-Match") != `"1"` {
		t.Fatal("a PATCH was repeated")
	}
	// The change stands.
	server = script(t, problemOf(503, "not_confirmed"))
	_, err = server.admin(t).Companies.Deactivate(context.Background(), "com_1")
	failed(t, err, "not_confirmed")
	// Too long a wait is the caller's.
	server2 := script(t, reply{429, map[string]string{"Retry-After": "900"}, `{"reason": "too_many_attempts", "detail": "Why."}`})
	_, err = server2.admin(t).Companies.Get(context.Background(), "com_1")
	if failure := failed(t, err, "too_many_attempts"); failure.RetryAfter != 15*time.Minute {
		t.Fatal(failure.RetryAfter)
	}
	if len(server.asked) != 1 || len(server2.asked) != 1 {
		t.Fatal("a call was repeated")
	}
	server = script(t, problemOf(503, "unavailable"))
	never, _ := NewAdmin(server.URL, key, &Options{Retries: -1})
	_, err = never.Companies.Get(context.Background(), "com_1")
	failed(t, err, "unavailable")
	if len(server.asked) != 1 {
		t.Fatal("a call was repeated")
	}
}

func TestRetryAfter(t *testing.T) {
	for failure, least := range map[*Error]time.Duration{
		{Status: 503, RetryAfter: 7 * time.Second}: 7 * time.Second,
		{Status: 503}:               125 * time.Millisecond,
		{Reason: ReasonTimeout}:     125 * time.Millisecond,
		{Reason: ReasonUnreachable}: 125 * time.Millisecond,
	} {
		if wait, again := waitAfter(failure, 0); !again || wait < least || wait > least+time.Second {
			t.Fatalf("%v: %v", failure, wait)
		}
	}
	if secondsOf("7") != 7*time.Second || secondsOf("soon") != 0 || secondsOf("-7") != 0 {
		t.Fatal("Retry-After in seconds")
	}
	in := secondsOf(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	if in < 59*time.Minute || in > time.Hour {
		t.Fatal(in)
	}
}

func TestTheCallersContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := script(t, reply{200, nil, allowed}).verifier(t).Verify(ctx, Call{})
	failed(t, err, ReasonAborted)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	slow := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, asked *http.Request) {
		// Only then the server notices that the client is gone.
		_, _ = io.Copy(io.Discard, asked.Body)
		<-asked.Context().Done()
	}))
	defer slow.Close()
	verifier, _ := NewVerifier(slow.URL, key, &Options{Timeout: time.Millisecond, Retries: -1})
	_, err = verifier.Verify(context.Background(), Call{Token: NewSecret(token)})
	failed(t, err, ReasonTimeout)
}

func TestWhatIsSent(t *testing.T) {
	server := script(t, reply{200, nil, allowed}, reply{200, nil, `{"active": true, "scope": "charges:get", "iat": 7}`}, reply{200, nil, `{"active": null}`})
	verifier := server.verifier(t)
	_, err := verifier.Verify(context.Background(), Call{Token: NewSecret(token), Permission: "charges:get"})
	if err != nil || server.bodies[0] != fmt.Sprintf(`{"permission":"charges:get","token":%q}`, token) ||
		server.asked[0].Header.Get("Authorization") != "Bearer "+key {
		t.Fatal(err, server.bodies)
	}
	told, err := verifier.Introspect(context.Background(), NewSecret(token), Presented{Address: "::1"})
	if err != nil || !told.Active || told.IssuedAt != 7 || server.bodies[1] != "address=%3A%3A1&token="+token {
		t.Fatal(err, told, server.bodies)
	}
	_, err = verifier.Introspect(context.Background(), NewSecret(token), Presented{})
	failed(t, err, ReasonBadAnswer)

	server = script(t, reply{200, map[string]string{"ETag": `"2"`}, `{"owner": {}}`})
	changes := AccessTokenChanges{Label: Set("Till"), ExpiresAt: Null[time.Time](), Networks: Set([]string{})}
	changed, err := server.admin(t).AccessTokens.Modify(context.Background(), External("a/b"), "gpat_1", changes)
	if err != nil || server.bodies[0] != `{"expires_at":null,"label":"Till","networks":[]}` || changed.ETag != `"2"` {
		t.Fatal(err, server.bodies)
	}
	if path := server.asked[0].RequestURI; path != "/v1/companies/ext:a%2Fb/access-tokens/gpat_1" {
		t.Fatal(path)
	}
}

func TestACreationThatIsntConfirmedIsKept(t *testing.T) {
	body := fmt.Sprintf(`{"id": "gpat_1", "token": %q}`, token)
	server := script(t, reply{201, map[string]string{"Gatepass-Confirmed": "false"}, body}, reply{201, nil, body}, reply{201, nil, `{"id": "gpat_1"}`})
	admin := server.admin(t)
	create := func() (*CreatedAccessToken, error) {
		return admin.AccessTokens.Create(context.Background(), "com_1", NewAccessToken{}, IdempotencyKey("my-own-attempt-1"))
	}
	made, err := create()
	if err != nil || !made.Unconfirmed || made.Token.Reveal() != token || made.ID != "gpat_1" {
		t.Fatal(err, made)
	}
	if server.asked[0].Header.Get("Idempotency-Key") != "my-own-attempt-1" {
		t.Fatal("the caller's key")
	}
	if made, err = create(); err != nil || made.Unconfirmed {
		t.Fatal(err)
	}
	_, err = create()
	failed(t, err, ReasonBadAnswer)
}

func TestAListGoesOnWithItsCursor(t *testing.T) {
	server := script(t, reply{200, nil, `{"items": [{"id": "1"}, {"id": "2"}], "next": "a"}`},
		reply{200, nil, `{"items": [], "next": "b"}`}, reply{200, nil, `{"items": [{"id": "3"}], "next": null}`})
	found, err := server.admin(t).Companies.List(CompanyFilters{ExternalID: "x y"}).All(context.Background())
	if err != nil || len(found) != 3 || found[2].ID != "3" {
		t.Fatal(err, found)
	}
	if last := server.asked[2].URL.RawQuery; last != "cursor=b&external_id=x+y" {
		t.Fatal(last)
	}
	for _, page := range []string{`{}`, `{"items": []}`, `{"items": [], "next": ""}`, `{"items": {}, "next": null}`} {
		server = script(t, reply{200, nil, `{"items": [], "next": "a"}`}, reply{200, nil, page}, problemOf(500, "internal"))
		_, err = server.admin(t).Companies.List(CompanyFilters{}).All(context.Background())
		var failure *Error
		if !errors.As(err, &failure) {
			t.Fatalf("%s ended the list: %v", page, err)
		}
	}
	server = script(t, reply{200, nil, `{"items": [], "next": "a"}`})
	_, err = server.admin(t).Companies.List(CompanyFilters{}).All(context.Background())
	failed(t, err, ReasonBadAnswer)
}

func TestASecretIsShownNowhere(t *testing.T) {
	server := script(t, reply{200, nil, allowed})
	inner := struct{ secret Secret }{NewSecret(token)}
	for _, each := range []any{NewSecret(token), &inner, inner, []Secret{NewSecret(token)}, server.verifier(t), *server.verifier(t),
		server.admin(t), *server.admin(t).Companies.transport, Call{Token: NewSecret(token)}, CreatedAccessToken{Token: NewSecret(token)}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(verb, each); strings.Contains(text, "the_text_of") || strings.Contains(text, fmt.Sprintf("%x", "the_text_of")) {
				t.Fatalf("%s of a %T: %s", verb, each, text)
			}
		}
		text, _ := json.Marshal(each)
		if strings.Contains(string(text), "the_text_of") {
			t.Fatalf("JSON of a %T: %s", each, text)
		}
	}
	if NewSecret(token).Reveal() != token || (Secret{}).Reveal() != "" {
		t.Fatal("Reveal")
	}
}

func TestWhatCantBeAskedForIsntSent(t *testing.T) {
	server := script(t, reply{200, nil, `{}`})
	for _, id := range []string{"", ".", ".."} {
		if _, err := server.admin(t).Companies.Put(context.Background(), id, "b"); err == nil {
			t.Fatal(id)
		}
		if server.admin(t).Owners.List(id, OwnerFilters{}).Next(context.Background()) {
			t.Fatal(id)
		}
	}
	for _, url := range []string{"", "tokens.example.com", "ftp://a", "http://", "https://user:secret@a", "https://secret@a", "https://a?b=c", "https://a#b", "https://a?", "https://a/#", "http://a\n"} {
		if _, err := NewVerifier(url, key, nil); err == nil || strings.Contains(err.Error(), "secret") {
			t.Fatal(url, err)
		}
	}
	for _, wrong := range []string{"", "a b", key + "\n", "Schlüssel"} {
		if _, err := NewVerifier(server.URL, wrong, nil); err == nil || strings.Contains(err.Error(), "the_text_of") {
			t.Fatal(err)
		}
	}
	if len(server.asked) != 0 {
		t.Fatal("a call was made")
	}
}
