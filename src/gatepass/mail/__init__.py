"""Mail: what it says, and how it gets to a mail server. When it goes out is ``mailing``'s."""
