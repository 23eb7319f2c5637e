"""The database: tables, transactions, schema, and what is kept next to it."""
