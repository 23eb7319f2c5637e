"""The REST API: one module per resource, which `router` puts together."""
