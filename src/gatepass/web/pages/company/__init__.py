"""My Company: profile, security, roles, webhooks; for operators catalogue, nodes, keys."""
