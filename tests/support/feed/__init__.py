"""The feed's two sides: followers that read it, and servers that misbehave."""
