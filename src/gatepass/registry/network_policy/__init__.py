"""A company's allowlist."""
