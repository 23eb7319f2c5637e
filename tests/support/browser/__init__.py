"""Chromium, a reader of pages without scripts, and the accessibility check."""
