"""Two people changed the same thing: who was first and when, and both versions side by side."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gatepass.registry.audit import log
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.layout.visitor import Visitor


@dataclass(frozen=True)
class Difference:
    """One setting that was saved meanwhile, beside what was typed. Times are Unix ms."""

    name: str
    saved: str | int | None
    typed: str | int | None
    is_time: bool = False


@dataclass(frozen=True)
class Meanwhile:
    """What the second of two people is told.

    Attributes:
        by, at: who changed it last and when (Unix ms); None if the log doesn't say.
    """

    by: str | None
    at: int | None
    differences: Sequence[Difference]


def meanwhile(
    reading: Reading,
    visitor: Visitor,
    subject: str,
    differences: Sequence[Difference],
    actions: Collection[str] = (),
) -> Meanwhile:
    """What *visitor* is told of the record *subject* (an id) that someone else changed first.

    Args:
        actions: those that change what is edited, where not every change of the record does.
    """
    last = log.last_change(reading, visitor.actor.company, subject, actions)
    by, at = (None, None) if last is None else (last.actor_name, last.at)
    return Meanwhile(by, at, differences)
