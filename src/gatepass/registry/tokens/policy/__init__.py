"""Companies' token policies, and approval by a second person."""
