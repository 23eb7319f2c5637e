"""The figures Gatepass promises, measured: ``python -m benchmarks``.

Every figure is a ratio of two things measured in alternating rounds of one run, so that it means
the same on a fast machine and on a slow one. A scenario is a function marked ``@scenario``; one
file per concept.
"""
