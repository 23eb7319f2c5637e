"""What every page has: templates, navigation, wording, times, errors, headers."""
