// A service whose every call Gatepass decides about.
package main

import (
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	gatepass "gatepass/clients/go"
)

func main() {
	verifier, err := gatepass.NewVerifier(os.Getenv("GATEPASS_URL"), os.Getenv("GATEPASS_VERIFIER_KEY"), nil)
	if err != nil {
		log.Fatal(err)
	}
	hello := http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		_, _ = answer.Write([]byte("hello\n"))
	})
	log.Fatal(http.ListenAndServe(os.Getenv("LISTEN"), guard(verifier, hello)))
}

// guard lets calls through that Gatepass allows, and no others.
func guard(verifier *gatepass.Verifier, next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, call *http.Request) {
		scheme, token, _ := strings.Cut(call.Header.Get("Authorization"), " ")
		if !strings.EqualFold(scheme, "Bearer") {
			token = ""
		}
		address, _, _ := net.SplitHostPort(call.RemoteAddr)
		decision, err := verifier.Verify(call.Context(), gatepass.Call{
			Token: gatepass.NewSecret(token), Method: call.Method, Path: call.URL.EscapedPath(),
			Address: address, Origin: call.Header.Get("Origin"), Referer: call.Referer(),
		})
		if err != nil {
			// Without a decision nothing is allowed.
			var failed *gatepass.Error
			if errors.As(err, &failed) {
				log.Print(failed)
			}
			http.Error(answer, "no decision", http.StatusServiceUnavailable)
			return
		}
		if !decision.Allowed {
			answer.Header().Set("Content-Type", "application/json")
			answer.WriteHeader(decision.Status)
			_ = json.NewEncoder(answer).Encode(map[string]any{"reason": decision.Reason, "needed": decision.Needed, "help": decision.Help})
			return
		}
		next.ServeHTTP(answer, call)
	})
}
