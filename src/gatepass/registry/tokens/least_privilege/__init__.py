"""The narrowest token that suffices: suggested by its use, or recorded by example."""
