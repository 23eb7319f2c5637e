"""Strict parsing of user input."""
