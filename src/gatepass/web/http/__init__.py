"""An HTTP/1.1 server for requests that are answered at once."""
