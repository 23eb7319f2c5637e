"""Membership: invitations, offboarding, account changes, and their mail."""
