"""``gatepass demo``: a ready installation with a made-up company and a sample API to guard."""
