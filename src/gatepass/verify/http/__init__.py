"""What a decision needs from an HTTP request, and what a refusal answers."""
