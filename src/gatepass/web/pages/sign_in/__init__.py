"""Signing in, and what links in mail open."""
