"""My Company: profile, security, roles, nodes, admin keys."""
