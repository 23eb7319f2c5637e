"""Experiments that break things around a running Gatepass, and look whether its promises hold.

``make faults`` runs them; docs/explanation/faults.md says what each does, what passes, and what was
measured.
"""
