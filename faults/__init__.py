"""Fault injection: experiments that break a running Gatepass and check its promises.

``make faults`` runs them. docs/explanation/faults.md describes each one, its pass criteria, and its
latest results.
"""
