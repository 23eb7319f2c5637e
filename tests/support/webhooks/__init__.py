"""A receiver of webhooks on loopback, with certificates of its own authority."""
