"""The database: tables, connections, transactions, schema, and ``ended.log``."""
