"""The page of a portal session."""
