"""My Account."""
