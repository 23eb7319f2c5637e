"""SMTP servers: one that keeps what it is sent, and one that follows a script."""
