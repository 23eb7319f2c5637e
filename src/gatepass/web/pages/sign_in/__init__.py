"""Signing in, and the pages that mailed links open."""
