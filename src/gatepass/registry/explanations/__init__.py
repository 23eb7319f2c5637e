"""Why calls are allowed or refused, and what a change would make of them."""
