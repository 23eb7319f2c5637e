"""The API reference, and the style guide."""
