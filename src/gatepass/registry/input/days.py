"""Strict parsing of a number of days."""

from gatepass.registry.input.text import Problems


def read_days(field: str, value: object, most: int, problems: Problems) -> int | None:
    """A number of days from 1 to *most*, or None; errors are added to *problems*."""
    if value is None:
        return None
    if type(value) is int and 1 <= value <= most:
        return value
    problems.add(field, days_problem(most))
    return None


def days_problem(most: int) -> str:
    """What a number of days must be."""
    return f"Must be a whole number from 1 to {most:,}."
