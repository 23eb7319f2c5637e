"""Real gateways with the configuration of their pages, in front of an API that echoes."""
