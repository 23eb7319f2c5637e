"""Relying party of an OpenID Connect provider: its metadata, keys, tokens. Nothing is stored."""
