"""Export, import and restore."""
