"""Real processes: the served product, its workers, nginx, forked children."""
