"""Grant files with tokens, and verifiers that exist in the registry alone."""
