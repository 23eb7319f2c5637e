"""What people read and type on pages: wording, times, names, fields of forms."""
