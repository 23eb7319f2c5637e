"""Access Tokens: the list, one token, making and editing."""
