"""Benchmarks of the promised figures: ``python -m benchmarks``.

Most figures are ratios of two subjects measured in alternating rounds of one run, so that fast and
slow machines give the same result. A scenario is a function decorated with ``@scenario``.
"""
