"""Deactivation of many tokens: in bulk, with their owner, and by rounds of the maintenance."""
