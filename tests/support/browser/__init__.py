"""Chromium, a page reader without scripts, and the accessibility check."""
