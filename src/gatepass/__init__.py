"""Gatepass: a self-hosted access-token authority."""
