"""``/metrics``, for Prometheus: the endpoint, and what it says of the node and the installation."""
