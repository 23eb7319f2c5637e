"""What every page has: templates, navigation, the visitor, errors, headers."""
