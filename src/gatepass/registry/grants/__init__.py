"""Grants, holders and company rules, which decisions read: published with each change."""
