"""A company's own people, roles, networks, webhooks and audit log."""
