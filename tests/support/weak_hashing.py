"""Argon2 at its cheapest, for tests that hash passwords without testing the hash."""

import pytest
from argon2 import PasswordHasher

from gatepass.registry.authentication import passwords

HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def weaken(patch: pytest.MonkeyPatch) -> None:
    """Give the product's hasher the costs of HASHER."""
    patch.setattr(passwords.HASHER, "_parameters", HASHER._parameters)
    # It may have been made at the full costs.
    passwords._dummy_hash.cache_clear()
