"""Webhooks: who is told of events, what was sent, and the queue."""
