"""Applications: Gatepass in this process, guarded applications, and ones behind a gateway."""
