"""A failing task is retried ever more seldom, and as usual once it succeeds."""

from gatepass.verify.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.25, 2.0)
    assert [backoff.pause() for _ in range(5)] == [0.25, 0.5, 1.0, 2.0, 2.0]
    backoff.reset()
    assert backoff.pause() == 0.25
