"""Starting and supervising the worker processes."""
