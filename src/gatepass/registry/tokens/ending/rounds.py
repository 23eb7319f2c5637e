"""Rounds of a node's maintenance that deactivate access tokens, in batches.

Several nodes may run the same round at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from gatepass.registry.actor import Actor
from gatepass.registry.storage.database import Database, Reading
from gatepass.registry.tokens.store import revoke

_AT_ONCE = 100

#: Company and id of those tokens, of the ids given, that are due.
Due = Callable[[Reading, Sequence[str]], Sequence[tuple[str, str]]]


def deactivate_due(
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
    *,
    cause: str,
    candidates: Callable[[Reading], Sequence[str]],
    due: Due,
    most: int | None = None,
) -> int:
    """Deactivate the tokens that are due; returns their number.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.
        cause: of the end (``Actor.cause``).
        candidates: the ids of tokens that may be due, read before any transaction that changes
            something: most rounds find nothing, and needn't wait for writers.
        due: called again in the transaction that deactivates them: they may have been used since,
            or been deactivated by another node.
        most: how many at most; None is no limit.

    Raises:
        Unavailable: the database can't be used now. Tokens of committed batches stay deactivated.
    """
    system = replace(Actor.system(), cause=cause)
    with database.read(now()) as reading:
        found = [id for ids in _batches(candidates(reading)) for _, id in due(reading, ids)][:most]
    ended = 0
    for ids in _batches(found):
        with database.write(now()) as change:
            still = due(change, ids)
            for company in sorted({of for of, _ in still}):
                revoke(change, system, [id for of, id in still if of == company])
        ended += len(still)
        if not pause():
            break
    return ended


def _batches(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
