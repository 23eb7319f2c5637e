"""Sign-in: passwords, second factors, sessions, throttling."""
