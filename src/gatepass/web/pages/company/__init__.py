"""My Company: profile, security, roles, webhooks, nodes, verifier keys, admin keys."""
