"""Replicas: copies of the grants, kept current by followers."""
