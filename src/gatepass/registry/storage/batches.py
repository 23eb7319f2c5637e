"""Rounds of a node's maintenance that find what is due by an index, and work it off in batches."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from gatepass.registry.storage.database import Database, Reading, Write

W = TypeVar("W", bound=Write)


def in_batches(
    database: Database,
    now: Callable[[], int],
    pause: Callable[[], bool],
    *,
    any_due: Callable[[Reading], bool],
    write: Callable[[int], AbstractContextManager[W]],
    batch: Callable[[W], int],
) -> int:
    """Call *batch* until nothing is due; returns the sum of the numbers that it returned.

    Args:
        now: returns the time in Unix ms; called for each transaction.
        pause: called between two transactions; returns whether to continue.
        any_due: asked before each batch: most rounds find nothing, and needn't wait for writers.
        write: opens a batch's transaction, such as ``database.auxiliary_write``.
        batch: works off a part of what is due. If it returns 0, the rest is left to the next round.

    Raises:
        Unavailable: the database can't be used now. Committed batches stay done.
    """
    done = 0
    while True:
        with database.read(now()) as reading:
            if not any_due(reading):
                return done
        with write(now()) as transaction:
            number = batch(transaction)
        done += number
        if not number or not pause():
            return done
