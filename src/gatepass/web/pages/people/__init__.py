"""My Company > Users and Invitations."""
