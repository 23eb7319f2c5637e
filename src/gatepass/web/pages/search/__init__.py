"""Search over the whole dashboard."""
