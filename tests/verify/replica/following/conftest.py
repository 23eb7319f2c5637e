"""Fixtures: verifiers that follow a scripted feed, and a check that none is left."""

import gc
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatepass import Verifier
from tests.support.feed.following import Follow, at_work
from tests.support.feed.scripted_feed import KEY, ScriptedFeed
from tests.support.waiting import until


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "copy"


@pytest.fixture(autouse=True)
def nobody_left() -> Iterator[None]:
    """Fail a test that leaves a follower running."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    until(lambda: not at_work(before))


@pytest.fixture
def follow(feed: ScriptedFeed, directory: Path) -> Iterator[Follow]:
    made: list[Verifier] = []

    def following(**other: Any) -> Verifier:
        known = {"key": KEY.text, "directory": directory, "wait": 10} | other
        made.append(Verifier.follow(known.pop("url", feed.url), **known))
        return made[-1]

    yield following
    for verifier in made:
        verifier.close()
    made.clear()
