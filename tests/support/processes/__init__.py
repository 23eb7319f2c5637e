"""Processes: served nodes, their workers, nginx, forked children."""
