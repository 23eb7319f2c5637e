"""Access Tokens: the list, one token, creating and editing."""
