"""How the schema came to be, one step a file; run through ``registry.storage.schema``."""
