"""Calls that tokens were used for, and what a change would make of them."""
