"""Applications: the product's own in this process, guarded ones, and ones behind a gateway."""
