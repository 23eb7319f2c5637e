"""A remembered decision is the one that would be made now."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gatepass.core.decision import Decision, Reason
from gatepass.core.grants import CompanyRules, Holder, Rehearsal, Trial
from gatepass.core.networks import Networks
from gatepass.core.observed_call import DAY_MS, ObservedCall, decision_id
from gatepass.verify.usage import Usage
from gatepass.verify.verifier import Verifier
from tests.support.grants.grant_fixtures import START_MS, Clocks, Samples, networks

OPEN = networks("203.0.113.0/24")
ROLES = {"developer": frozenset({"charges:get", "charges:create"})}

calls = st.fixed_dictionaries(
    {
        "token": st.sampled_from(["good", "lasting", "networked", "ui", "listed", "unknown"]),
        "permission": st.sampled_from([None, "charges:get", "charges:create", "refunds:create"]),
        "route": st.sampled_from([None, ("GET", "/v1/charges/1"), ("GET", "/v1/charges/2"),
                                  ("POST", "/v1/charges"), ("GET", "/nowhere")]),
        "address": st.sampled_from([None, "203.0.113.7", "198.51.100.7", "nonsense", ""]),
        "origin": st.sampled_from([None, "", "https://shop.example.com", "https://example.net"]),
        "referer": st.sampled_from([None, "", "https://shop.example.com/", "https://a.net/"]),
    }
)  # fmt: skip
ENDED: dict[str, Any] = {"deactivated": True, "rehearsal": None}
CHANGES: dict[str, Any] = {
    "deactivate": lambda samples: samples.change("good", **ENDED, pending=False),
    "reactivate": lambda samples: samples.change(
        "good", deactivated=False, rehearsal=None, pending=False
    ),
    "hold back": lambda samples: samples.change("good", **ENDED, pending=True),
    "rehearse": lambda samples: samples.change(
        "good",
        deactivated=True,
        rehearsal=Rehearsal(START_MS, START_MS + 40_000, 50),
        pending=False,
    ),
    "except": lambda samples: samples.change(
        "good",
        permissions=frozenset({"charges:get"}),
        exceptions={"charges:create": START_MS + 40_000, "refunds:create": START_MS + 70_000},
    ),
    "networks": lambda samples: samples.change("good", networks=networks("198.51.100.0/24")),
    "no networks": lambda samples: samples.change("good", networks=None),
    "demote": lambda samples: samples.put(Holder("usr_dev", "cmp_1", True, "nobody")),
    "promote": lambda samples: samples.put(Holder("usr_dev", "cmp_1", True, "developer")),
    "allowlist": lambda samples: samples.put(CompanyRules("cmp_1", True, OPEN, ROLES)),
    "no allowlist": lambda samples: samples.put(CompanyRules("cmp_1", True, None, ROLES)),
    "trial": lambda samples: samples.put(
        CompanyRules("cmp_1", True, None, ROLES, Trial(OPEN, START_MS + 40_000))
    ),
}
steps = st.lists(
    st.one_of(
        calls,
        calls,
        st.sampled_from(list(CHANGES)),
        st.sampled_from([0.4, 1.0, 30.0, 45.0]),
    ),
    min_size=2,
    max_size=40,
)


def check(verifier: Verifier, samples: Samples, call: dict[str, Any]) -> Decision:
    method, path = call["route"] or (None, None)
    return verifier.check(
        samples.texts[call["token"]],
        method=method,
        path=path,
        **{name: call[name] for name in ("permission", "address", "origin", "referer")},
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_it_is_what_a_verifier_without_a_memory_decides(samples: Samples, steps: list[Any]) -> None:
    """However calls repeat and differ, whatever changes, however time passes."""
    samples.put(*samples.records)
    clocks = Clocks()
    clock = clocks.clock()
    remembering = samples.verifier(clock)
    asked: list[dict[str, Any]] = []
    for step in steps:
        if isinstance(step, dict):
            asked.append(step)
        elif isinstance(step, float):
            clocks.advance(step)
        else:
            CHANGES[step](samples)
        # Everything asked before is asked again.
        for call in asked:
            found = check(remembering, samples, call)
            fresh = check(samples.verifier(clock), samples, call)
            assert (found.reason, found.needed, found.effective, found.grant) == (
                fresh.reason,
                fresh.needed,
                fresh.effective,
                fresh.grant,
            ), call


UI = {"permission": "charges:get", "origin": None, "referer": None}
SHOP = "https://shop.example.com"


@pytest.mark.parametrize(
    ("token", "call", "other"),
    [
        ("good", {"permission": "charges:get"}, {"permission": "refunds:create"}),
        ("good", {"method": "GET", "path": "/v1/charges/1"}, {"path": "/v1/charges/1/refund"}),
        ("good", {"method": "POST", "path": "/v1/charges"}, {"method": "GET"}),
        ("networked", {"permission": "charges:get", "address": "198.51.100.7"}, {"address": None}),
        ("networked", {"permission": "charges:get", "address": "198.51.100.7"}, {"address": "x"}),
        ("ui", UI | {"origin": SHOP}, {"origin": "https://example.net"}),
        ("ui", UI | {"origin": SHOP}, {"origin": ""}),
        ("ui", UI | {"referer": SHOP}, {"referer": "https://example.net/"}),
        ("ui", UI | {"referer": SHOP}, {"referer": None}),
        ("ui", UI | {"referer": SHOP}, {"origin": "", "referer": SHOP}),
    ],
)
def test_a_call_that_differs_in_one_part_is_another(
    samples: Samples, verifier: Verifier, token: str, call: dict[str, Any], other: dict[str, Any]
) -> None:
    for _ in range(2):
        assert verifier.check(samples.texts[token], **call).allowed
        assert not verifier.check(samples.texts[token], **(call | other)).allowed


def test_an_equal_call_is_not_decided_again(
    samples: Samples, verifier: Verifier, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even a second later, while nothing was committed."""
    judged = []
    judge = verifier.judge

    def spy(*args: Any, **how: Any) -> Any:
        judged.append(args)
        return judge(*args, **how)

    monkeypatch.setattr(verifier, "judge", spy)
    text = samples.texts["good"]
    for path in ("/v1/charges/1", "/v1/charges/2", "/v1/charges/1?page=2"):
        assert verifier.check(text, method="GET", path=path).allowed
        clocks.advance(0.9)
    assert len(judged) == 1
    samples.put(samples.grants["poor"])
    assert verifier.check(text, method="GET", path="/v1/charges/1").allowed
    assert len(judged) == 2


@pytest.mark.parametrize("name", ["unknown", "wrong secret", "bad checksum"])
def test_what_has_no_matching_secret_is_not_remembered(
    samples: Samples, verifier: Verifier, name: str
) -> None:
    assert verifier.check(samples.texts[name], permission="charges:get").reason == "token_invalid"
    assert len(verifier.remembered._decisions) == 0


def test_no_secret_is_in_the_memory(samples: Samples, verifier: Verifier) -> None:
    for text in samples.texts.values():
        verifier.check(text, permission="charges:get", origin="https://shop.example.com")
    held = repr(verifier.remembered._decisions.recent) + repr(verifier._rows._tokens.recent)
    assert samples.grants["good"].id in held
    for name, text in samples.texts.items():
        if text:
            assert text[21:53] not in held, name


def test_an_expired_token_stays_expired(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    text = samples.texts["lasting"]
    for seconds, reason in ((59.999, "allowed"), (0.001, "token_expired"), (9, "token_expired")):
        clocks.advance(seconds)
        assert verifier.check(text, permission="charges:get").reason == reason


def test_a_trial_ends_by_the_clock_alone(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    trial = Trial(Networks(), START_MS + 1_500)
    samples.put(CompanyRules("cmp_1", True, None, ROLES, trial))
    text = samples.texts["good"]
    for seconds, reason in ((0, "company_address_not_allowed"), (1.499, None), (0.001, "allowed")):
        clocks.advance(seconds)
        found = verifier.check(text, permission="charges:get", address="203.0.113.7")
        assert found.reason == (reason or "company_address_not_allowed")


def test_exceptions_end_by_the_clock_alone(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    """A remembered decision outlives none, and its effective permissions neither."""
    samples.change(
        "good",
        permissions=frozenset({"charges:get"}),
        exceptions={"charges:create": START_MS + 1_500, "charges:void": START_MS + 2_500},
    )
    samples.put(CompanyRules("cmp_1", True, None, {"developer": frozenset({"charges:*"})}))
    text, found = samples.texts["good"], []
    for seconds in (0, 1.499, 0.001, 0.999, 0.001):
        clocks.advance(seconds)
        decisions = [
            verifier.check(text, permission=name) for name in ("charges:create", "charges:get")
        ]
        assert decisions[0].effective == decisions[1].effective
        found.append((decisions[0].reason, len(decisions[1].effective)))
    assert found == [("allowed", 3)] * 2 + [("permission_missing", 2)] * 2 + [
        ("permission_missing", 1)
    ]


def test_a_rehearsal_refuses_by_the_second(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    rehearsal = Rehearsal(START_MS, START_MS + 20_000, 50)
    samples.change("good", deactivated=True, rehearsal=rehearsal)
    reasons = []
    for _ in range(25):
        found = {
            verifier.check(samples.texts["good"], permission="charges:get").reason for _ in range(3)
        }
        reasons.append(found)
        clocks.advance(1)
    assert all(len(found) == 1 for found in reasons)
    assert {Reason.token_rehearsed} in reasons[:20]
    assert {Reason.allowed} in reasons[:20]
    assert reasons[20:] == [{Reason.allowed}] * 5


def test_an_expiry_counts_within_a_second_of_a_rehearsal(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    rehearsal = Rehearsal(START_MS, START_MS + 20_000, 1)
    expiring = {"expires_at": START_MS + 1_500}
    samples.change("good", deactivated=True, rehearsal=rehearsal, **expiring)
    decided = []
    for seconds in (1, 0.499, 0.001):
        clocks.advance(seconds)
        decided.append(verifier.check(samples.texts["good"], permission="charges:get").reason)
    assert decided == ["allowed", "allowed", "token_expired"]


def test_a_trial_ends_within_a_second_of_a_rehearsal(
    samples: Samples, verifier: Verifier, clocks: Clocks
) -> None:
    rehearsal = Rehearsal(START_MS, START_MS + 20_000, 1)
    samples.change("good", deactivated=True, rehearsal=rehearsal)
    trial = Trial(OPEN, START_MS + 1_500)
    samples.put(CompanyRules("cmp_1", True, Networks(), ROLES, trial))
    decided = []
    for seconds in (1, 0.499, 0.001):
        clocks.advance(seconds)
        found = verifier.check(
            samples.texts["good"], permission="charges:get", address="203.0.113.7"
        )
        decided.append(found.reason)
    assert decided == ["allowed", "allowed", "company_address_not_allowed"]


def test_a_copy_whose_lease_has_ended_remembers_nothing(samples: Samples, clocks: Clocks) -> None:
    verifier = samples.verifier(clocks.clock(), copy=True)
    verifier.file.shared.renew_lease(clocks.boot_ns, clocks.wall_ms, 1_000)
    text = samples.texts["good"]
    assert verifier.check(text, permission="charges:get").allowed
    clocks.advance(1)
    with pytest.raises(Exception, match="lease"):
        verifier.check(text, permission="charges:get")


def spooled(usage: Usage) -> Callable[[], tuple[Counter[Any], Counter[str]]]:
    """Flushes to memory; returns the calls and the decisions that were counted since."""
    flushed: list[bytes] = []
    usage._spool.append = flushed.append  # type: ignore[method-assign]  # not to a file

    def flush() -> tuple[Counter[Any], Counter[str]]:
        usage.flush()
        lines = [json.loads(line) for line in b"".join(flushed).splitlines()]
        flushed.clear()
        calls, decisions = Counter[Any](), Counter[str]()
        for line in lines:
            decisions.update(line.get("decisions", {}))
            for token, _, call, count, _, _ in line.get("calls", ()):
                calls[token, call[0]] += count
            for token, (count, *_) in line.get("tokens", {}).items():
                calls[token, "use"] += count
        return calls, decisions

    return flush


def test_each_use_of_a_remembered_decision_counts(
    samples: Samples, clocks: Clocks, tmp_path: Any
) -> None:
    """Once, whatever was decided, with the token's id."""
    usage = Usage(tmp_path / "use")
    flush = spooled(usage)
    verifier = samples.verifier(clocks.clock(), usage=usage)
    good, ended = samples.grants["good"].id, samples.grants["deactivated"].id
    for count in (4, 1, 3, 0):
        for _ in range(count):
            verifier.check(samples.texts["good"], permission="charges:get", address="203.0.113.7")
            verifier.check(samples.texts["deactivated"], permission="charges:get")
        calls, decisions = flush()
        assert calls == Counter(
            {(good, "allowed"): count, (good, "use"): count, (ended, "token_deactivated"): count}
        )
        assert decisions == Counter(allowed=count, token_deactivated=count)


def test_a_counter_gets_what_was_decided_since_it_counts(
    samples: Samples, clocks: Clocks, tmp_path: Any
) -> None:
    """A fork's counter doesn't wait for its parent to flush what was remembered before."""
    verifier = samples.verifier(clocks.clock(), usage=Usage(tmp_path / "parent"))
    usage = Usage(tmp_path / "child")
    flush = spooled(usage)
    for _ in range(3):
        verifier.check(samples.texts["good"], permission="charges:get")
    verifier.count_in(usage)
    for _ in range(2):
        verifier.check(samples.texts["good"], permission="charges:get")
    assert flush()[1] == Counter(allowed=2)


def test_a_refusal_that_is_remembered_has_the_days_id(samples: Samples) -> None:
    """From midnight (UTC) on an equal call has another one, and no answer names the former."""
    clocks = Clocks()
    clocks.wall_ms = START_MS // DAY_MS * DAY_MS + DAY_MS - 300
    verifier = samples.verifier(clocks.clock())
    verifier.file.shared.set_public_url("https://gatepass.example.com")
    call = {"permission": "refunds:create", "address": "203.0.113.7"}
    observed = ObservedCall(
        "permission_missing", ("refunds:create",), None, None, "203.0.113.7", None
    )
    found = set()
    for _ in range(6):
        decision = verifier.check(samples.texts["good"], **call)
        made = decision_id(samples.grants["good"].digest, observed, clocks.wall_ms)
        assert verifier.help(decision) == f"https://gatepass.example.com/decisions/{made}"
        found.add(made)
        clocks.advance(0.1)
    assert len(found) == 2
