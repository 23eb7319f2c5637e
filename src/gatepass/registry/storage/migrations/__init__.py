"""Schema migrations, one version a file, run through ``registry.storage.schema``."""
