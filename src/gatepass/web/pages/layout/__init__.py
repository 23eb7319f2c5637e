"""What every screen shares: the visitor, navigation, forms, lists, errors, headers."""
