"""Moving an installation's database: exports, imports, restoring a backup."""
