"""PostgreSQL servers, a pooler, and registries with rows in them."""
