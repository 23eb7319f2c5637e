"""Companies, users, roles and verifier keys."""
