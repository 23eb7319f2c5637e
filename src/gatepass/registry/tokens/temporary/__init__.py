"""What ends by itself: rehearsals, exceptions, and the requests for them."""
