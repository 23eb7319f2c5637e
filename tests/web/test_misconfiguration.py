"""One log line a minute for each misconfiguration."""

import pytest

from gatepass.shared_words import Area, SharedWords
from gatepass.web.misconfiguration import Fault, Misconfigurations


def area() -> Area:
    return SharedWords().take(len(Fault))


def test_each_fault_is_logged_once_a_minute_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    now = 1_000.0
    faults = Misconfigurations(area(), lambda: now)
    for _ in range(500):
        faults.note(Fault.forwarded_by_untrusted, "203.0.113.9")
    faults.note(Fault.source_missing, "127.0.0.1", "X-Original-URI")
    now += 59
    faults.note(Fault.forwarded_by_untrusted, "203.0.113.9")
    assert len(caplog.messages) == 2
    now += 1
    faults.note(Fault.forwarded_by_untrusted, "203.0.113.10")
    assert len(caplog.messages) == 3
    first, other, again = caplog.messages
    assert "'203.0.113.9'" in first
    assert "GATEPASS_TRUSTED_PROXIES" in first
    assert "times" not in first
    assert "X-Original-URI" in other
    assert "'203.0.113.10'" in again
    assert "501 times since the last line" in again
    counted = {fault: number for fault, number in faults.counter.totals() if number}
    assert counted == {Fault.forwarded_by_untrusted: 502, Fault.source_missing: 1}


@pytest.mark.parametrize("fault", list(Fault))
def test_untrusted_values_are_quoted_and_truncated(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    forged = "a\nWARNING forged\x1b[2J{0}%s\u202e" + "x" * 100_000
    Misconfigurations(area()).note(fault, *[forged] * fault.value.count("{}"))
    (message,) = caplog.messages
    assert message.isascii()
    assert message.isprintable()
    assert len(message) < 500
