"""A change counts from the moment it is committed, whatever was read or cached before."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from gatepass.core.decision import Decision, Reason, decide
from gatepass.core.errors import Unavailable
from gatepass.core.grants import CompanyRules, Holder
from gatepass.verify import cached_rows
from gatepass.verify import decider as decider_module
from gatepass.verify.grant_file import GrantFile
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import Clocks, Samples, networks


def reason(verifier: Verifier, text: str) -> Reason:
    return verifier.check(text, permission="charges:get").reason


def spied(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The rows that *verifier* reads from its file from now on."""
    read: list[tuple[str, str]] = []
    record = verifier.file.record

    def spy(table: str, key: str) -> bytes | None:
        read.append((table, key))
        return record(table, key)

    both = verifier.file.holder_and_rules

    def spy_on_both(user: str, company: str) -> tuple[bytes | None, bytes | None]:
        read.extend((("holders", user), ("company_rules", company)))
        return both(user, company)

    monkeypatch.setattr(verifier.file, "record", spy)
    monkeypatch.setattr(verifier.file, "holder_and_rules", spy_on_both)
    return read


CHANGES: dict[str, Callable[[Samples], Any]] = {
    "token_deactivated": lambda samples: samples.change("good", deactivated=True),
    "token_expired": lambda samples: samples.change("good", expires_at=1),
    "account_deactivated": lambda samples: samples.put(
        Holder("usr_dev", "cmp_1", False, "developer")
    ),
    "permission_missing": lambda samples: samples.put(Holder("usr_dev", "cmp_1", True, "nobody")),
    "company_address_not_allowed": lambda samples: samples.put(
        CompanyRules("cmp_1", True, networks("10.0.0.0/8"), {})
    ),
    "address_not_allowed": lambda samples: samples.change("good", networks=networks("10.0.0.0/8")),
}


@pytest.mark.parametrize("expected", CHANGES)
def test_what_is_cached_is_void_once_a_change_is_committed(
    samples: Samples, verifier: Verifier, expected: str
) -> None:
    """A change of the grant, the holder or the company counts for the very next call."""
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    CHANGES[expected](samples)
    assert reason(verifier, samples.texts["good"]) == expected


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("expected", CHANGES)
def test_a_call_that_a_change_overtakes_is_decided_again(
    samples: Samples, verifier: Verifier, expected: str, cached: bool
) -> None:
    """A reader repeats when the generation moves between its rows and its decision."""
    if cached:
        assert reason(verifier, samples.texts["good"]) is Reason.allowed
    reasons = []

    def overtaken(*facts: Any) -> Decision:
        decision = decide(*facts)
        reasons.append(decision.reason)
        if len(reasons) == 1:
            CHANGES[expected](samples)
        return decision

    decision, _ = verifier.judge(samples.texts["good"], "charges:get", rule=overtaken)
    assert reasons == [Reason.allowed, expected]
    assert decision.reason == expected


def test_a_change_between_two_rows_of_one_call_is_noticed(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant read before a change and the holder read after it never decide together."""
    record = verifier.file.record
    tables = []

    def changing(table: str, key: str) -> bytes | None:
        tables.append(table)
        found = record(table, key)
        if len(tables) == 1:
            samples.change("good", deactivated=True)
        return found

    monkeypatch.setattr(verifier.file, "record", changing)
    assert reason(verifier, samples.texts["good"]) is Reason.token_deactivated
    assert tables.count("grants") == 2


def test_a_verifier_key_that_a_change_overtakes_is_judged_again(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same holds for the keys that services ask with, cached or not."""
    key = samples.texts["verifier"]
    assert verifier.verifier_key(key) == (Reason.allowed, None)
    admit = decider_module.admit_verifier
    reasons = []

    def overtaken(*facts: Any) -> Reason:
        reasons.append(admit(*facts))
        if len(reasons) == 1:
            samples.change("verifier", deactivated=True)
        return reasons[-1]

    monkeypatch.setattr(decider_module, "admit_verifier", overtaken)
    assert verifier.verifier_key(key) == (Reason.token_deactivated, None)
    assert reasons == [Reason.allowed, Reason.token_deactivated]


def test_a_generation_that_never_rests_is_an_outage(samples: Samples, verifier: Verifier) -> None:
    """A reader gives up, with "unavailable", rather than decide by rows that may be old."""

    def moving(*facts: Any) -> Decision:
        samples.file.shared.change_generation()
        return decide(*facts)

    with pytest.raises(Unavailable) as refused:
        verifier.judge(samples.texts["good"], "charges:get", rule=moving)
    assert refused.value.reason == "unavailable"


def die_after_commit(samples: Samples, verifier: Verifier, *records: Any) -> None:
    """A writer moves the generation, is read meanwhile, commits and dies before moving it again."""
    samples.begin(*records)
    samples.file.shared.change_generation()
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    samples.connection.execute("COMMIT")


def test_a_writer_that_died_half_way_leaves_nothing_after_a_second(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    """Rows cached between a dead writer's first move and its commit count for one second of the
    boot clock, and no longer, however the wall clock stands."""
    die_after_commit(samples, verifier, samples.changed("good", deactivated=True))
    clocks.boot_ns += 999_999_999
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    clocks.boot_ns += 1
    assert reason(verifier, samples.texts["good"]) is Reason.token_deactivated


def test_facts_shared_by_tokens_are_no_older_than_a_second_either(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    """A token first used while its holder is cached keeps that holder no longer than the rest."""
    die_after_commit(samples, verifier, Holder("usr_dev", "cmp_1", False, "developer"))
    clocks.boot_ns += 900_000_000
    assert reason(verifier, samples.texts["lasting"]) is Reason.allowed
    clocks.boot_ns += 100_000_000
    assert reason(verifier, samples.texts["lasting"]) is Reason.account_deactivated


def test_the_company_shared_by_tokens_is_no_older_than_a_second_either(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    """The same for the company's rules, under another holder."""
    die_after_commit(samples, verifier, CompanyRules("cmp_1", False, None, {}))
    clocks.boot_ns += 900_000_000
    assert verifier.check(samples.texts["admin login"], permission="a:b").allowed
    clocks.boot_ns += 100_000_000
    decision = verifier.check(samples.texts["admin login"], permission="a:b")
    assert decision.reason is Reason.account_deactivated


def test_an_unknown_id_is_not_remembered(samples: Samples, verifier: Verifier) -> None:
    """A token made a moment after someone tried its text works, even if its writer died before
    moving the generation a second time."""
    assert reason(verifier, samples.texts["unknown"]) is Reason.token_invalid
    samples.begin(samples.grants["unknown"])
    samples.connection.execute("COMMIT")
    assert reason(verifier, samples.texts["unknown"]) is Reason.allowed


def test_a_wrong_secret_is_not_remembered_and_displaces_nothing(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guesses aren't cached, so they can't evict real tokens."""
    monkeypatch.setattr(cached_rows, "CACHE_SIZE", 4)
    read = spied(verifier, monkeypatch)
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    read.clear()
    for name in ("wrong secret", "unknown", "bad checksum") * 5:
        assert reason(verifier, samples.texts[name]) is Reason.token_invalid
    assert (
        read
        == [
            ("grants", samples.grants["good"].id),
            ("grants", samples.grants["unknown"].id),
        ]
        * 5
    )
    read.clear()
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    assert not read


def test_the_cache_is_bounded(samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tokens, holders and companies are seen, only so many are kept, twice over."""
    monkeypatch.setattr(cached_rows, "CACHE_SIZE", 8)
    samples.put(*(CompanyRules(f"cmp_{n}", True, None, {}) for n in range(30)))
    samples.put(*(Holder(f"usr_{n}", f"cmp_{n}", True, "developer") for n in range(30)))
    for number in range(30):
        samples.put(samples.token(f"t{number}", user=f"usr_{number}", company=f"cmp_{number}"))
    verifier = samples.verifier()
    for number in range(30):
        assert reason(verifier, samples.texts[f"t{number}"]) is Reason.permission_missing
        assert len(verifier._rows._tokens) <= 16
        assert len(verifier._rows._holders) <= 16
        assert len(verifier._rows._companies) <= 16
    assert verifier._rows._tokens


def test_a_cached_decision_reads_nothing(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the generation stands, and for a second at most, the file isn't touched."""
    read = spied(verifier, monkeypatch)
    for _ in range(3):
        assert reason(verifier, samples.texts["good"]) is Reason.allowed
    assert [table for table, _ in read] == ["grants", "holders", "company_rules"]


def test_what_tokens_have_in_common_is_read_once(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company that was read for one token counts for another; so does a user."""
    samples.put(Holder("usr_other", "cmp_1", True, "developer"))
    samples.put(CompanyRules("cmp_2", False, None, {}))
    samples.put(samples.token("theirs", user="usr_other", company="cmp_1"))
    samples.put(samples.token("abroad", user="usr_dev", company="cmp_2"))
    assert reason(verifier, samples.texts["good"]) is Reason.allowed
    read = spied(verifier, monkeypatch)
    assert reason(verifier, samples.texts["theirs"]) is Reason.allowed
    assert [table for table, _ in read] == ["grants", "holders"]
    read.clear()
    assert reason(verifier, samples.texts["abroad"]) is Reason.account_deactivated
    assert [table for table, _ in read] == ["grants", "company_rules"]


def test_rows_that_stayed_the_same_are_read_but_not_decoded_again(
    samples: Samples, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new generation reads every row again, but keeps decoded rows whose bytes are the same."""
    _, first = verifier.judge(samples.texts["good"], "charges:get")
    assert first is not None
    read = spied(verifier, monkeypatch)
    samples.file.shared.change_generation()
    _, second = verifier.judge(samples.texts["good"], "charges:get")
    assert [table for table, _ in read] == ["grants", "holders", "company_rules"]
    assert second is first
    samples.put(Holder("usr_dev", "cmp_1", False, "developer"))
    _, third = verifier.judge(samples.texts["good"], "charges:get")
    assert third is not None
    assert third.grant is first.grant
    assert third.holder is not first.holder


def test_reading_pins_no_snapshot(samples: Samples, verifier: Verifier) -> None:
    """A reader leaves no cursor open: right after it, a checkpoint can empty the log."""
    for name in ("good", "unknown", "login", "wrong secret"):
        reason(verifier, samples.texts[name])
    samples.put(Holder("usr_new", "cmp_1", True, "developer"))
    assert samples.path.with_name("gatepass.db-wal").stat().st_size > 0
    state = samples.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert state == (0, 0, 0)
    assert samples.path.with_name("gatepass.db-wal").stat().st_size == 0
    assert reason(verifier, samples.texts["good"]) is Reason.allowed


def test_each_commit_changes_the_generation_before_and_after(samples: Samples) -> None:
    """Eight random bytes, never the same and never counted up, also where the commit fails."""
    shared = samples.file.shared
    seen = [shared.generation]
    for _ in range(50):
        with samples.file.writing():
            seen.append(shared.generation)
        seen.append(shared.generation)
    with suppress(sqlite3.Error), samples.file.writing():
        seen.append(shared.generation)
        samples.connection.execute("COMMIT")  # fails: no transaction is open
    seen.append(shared.generation)
    assert len(set(seen)) == len(seen)
    assert all(0 < generation < 2**64 for generation in seen)
    assert not any(after == before + 1 for before, after in pairwise(seen))


def test_every_process_sees_the_generation_move(samples: Samples) -> None:
    """Two maps of one file are the same words."""
    other = GrantFile(samples.path).shared
    assert other.generation == samples.file.shared.generation
    samples.file.shared.change_generation()
    assert other.generation == samples.file.shared.generation
