"""Parts of pages: what templates draw, and the form rows they read back."""
