"""Data-plane endpoints for gateways and services, over ASGI and on the verify port."""
