"""One node: the registry, its local copy of the grants, and what runs in its background."""
