"""Joining, leaving and changing an account, and the mail that it takes."""
