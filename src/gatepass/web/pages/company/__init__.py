"""My Company: profile, security, roles, nodes."""
