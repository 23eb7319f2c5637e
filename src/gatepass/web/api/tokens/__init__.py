"""Access tokens, their decisions, requests and policy."""
