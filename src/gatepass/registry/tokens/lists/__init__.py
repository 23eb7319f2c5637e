"""Lists of access tokens: filters, order, search, and the indexes that they read."""
