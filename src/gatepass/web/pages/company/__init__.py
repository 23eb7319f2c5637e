"""My Company: profile, security, roles, nodes, verifier keys, admin keys."""
