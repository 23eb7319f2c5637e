"""The REST API: a module per resource, which `router` includes."""
