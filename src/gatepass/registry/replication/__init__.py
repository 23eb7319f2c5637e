"""Registered followers, their replication positions, and deactivation receipts."""
