"""Grant files with tokens, and verifiers that exist only as rows of the registry."""
