"""Both sides of the feed: followers, and servers that a test scripts."""
