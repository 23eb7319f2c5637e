"""What a worker sets up before it serves."""

import gc
import resource

import pytest

from gatepass.web.http.server import MOST_CONNECTIONS
from gatepass.web.server import worker
from gatepass.web.server.worker import most_connections


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "expected"),
    [
        (1_024, 524_288, True, MOST_CONNECTIONS),
        (1_024, resource.RLIM_INFINITY, True, MOST_CONNECTIONS),
        (1_024, 4_096, True, 4_096 - 256),
        (1_024, 1_024, True, 1_024 - 256),
        (256, resource.RLIM_INFINITY, False, 128),
    ],
)
def test_connections_leave_files_for_others(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: bool, expected: int
) -> None:
    """A worker that has no file left accepts nobody, and can't open its database."""
    limits = (soft, hard)

    def change(_: int, wanted: tuple[int, int]) -> None:
        nonlocal limits
        if not raised:
            raise ValueError
        limits = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", change)
    assert most_connections() == expected


def test_garbage_is_collected_once_it_serves() -> None:
    seen = []

    async def serving() -> None:
        seen.append((gc.isenabled(), gc.get_freeze_count() > 0))

    gc.disable()
    try:
        worker._run(serving())
    finally:
        gc.enable()
        gc.unfreeze()
    assert seen == [(True, True)]
