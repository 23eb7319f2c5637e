"""SMTP servers: one that stores messages, and one that follows a script."""
