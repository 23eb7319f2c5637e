"""External ids: the ids by which another product knows its records."""

from gatepass.core.errors import InvalidInput
from gatepass.registry.input.text import label_problem

LONGEST_EXTERNAL_ID = 200
#: Stands before an external id where an id is expected.
BY_EXTERNAL_ID = "ext:"


def read_external_id(value: object) -> str:
    """Parse an external id: 1–200 characters without controls, compared exactly.

    Raises:
        InvalidInput: for field ``external_id``.
    """
    problem = label_problem(value, longest=LONGEST_EXTERNAL_ID)
    if problem is not None:
        raise InvalidInput([("external_id", problem)])
    assert isinstance(value, str)
    return value
