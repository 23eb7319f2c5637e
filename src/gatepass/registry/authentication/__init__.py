"""Signing in: passwords, two-factor, sessions, throttling."""
