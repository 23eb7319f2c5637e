"""Access tokens: records and the operations that change them."""
