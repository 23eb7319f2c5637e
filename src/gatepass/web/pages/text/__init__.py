"""Text on pages: wording, times, names, and the fields of forms."""
