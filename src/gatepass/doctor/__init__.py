"""``gatepass doctor``: checks a gateway by sending calls through it.

``examination`` sends the calls and has the order; ``decided`` judges what Gatepass saw of them,
``received`` what the API behind got.
"""
