"""Keeping a copy of the grants current, and reporting back."""
