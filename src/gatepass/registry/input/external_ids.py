"""External ids: the ids by which another product knows its records, compared exactly."""

from gatepass.registry.input.text import storable

LONGEST_EXTERNAL_ID = 200
#: Stands before an external id where an id is expected.
BY_EXTERNAL_ID = "ext:"


def external_id_problem(value: object) -> str | None:
    """The error of an external id, as a sentence; None if it is valid."""
    if not isinstance(value, str):
        return "Must be text."
    if not 1 <= len(value) <= LONGEST_EXTERNAL_ID:
        return f"Must have 1 to {LONGEST_EXTERNAL_ID} characters."
    if not storable(value):
        return "Must not have control characters or line separators."
    return None
