"""The verifier for other people's tests decides as every verifier does."""

import inspect
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gatepass import Misconfigured, Unavailable, Verifier
from gatepass.core.catalogue import CatalogueError, parse_catalogue
from gatepass.testing import FakeVerifier
from tests.support.apps.framework_apps import GUARDED_APPS

CATALOGUE = """\
permissions:
  charges:get: {title: "See a charge", routes: ["GET /charges/{id}"]}
  charges:create: {title: "Create charges", routes: ["POST /charges"]}
"""


def reason(verifier: FakeVerifier, token: str, **call: Any) -> str:
    """The reason of the decision about a call that needs ``charges:get``."""
    return verifier.check(token, **{"permission": "charges:get", **call}).reason.value


@pytest.mark.parametrize("name", GUARDED_APPS)
def test_every_guard_accepts_it(name: str, gatepass_verifier: FakeVerifier) -> None:
    app = GUARDED_APPS[name](gatepass_verifier)
    token = gatepass_verifier.token("charges:get", networks=["203.0.113.0/24"])

    def outcome(text: str, method: str = "GET", target: str = "/charges/1") -> tuple[int, str]:
        answer = app.call(method, target, [("x-access-token", text)])
        return answer.status, answer.outcome

    assert outcome(token) == (200, "allowed")
    assert outcome(token, "POST", "/charges") == (403, "permission_missing")
    gatepass_verifier.go_stale()
    assert outcome(token) == (503, "stale")
    gatepass_verifier.recover()
    gatepass_verifier.deactivate(token)
    assert outcome(token) == (401, "token_deactivated")
    assert [each.reason for each in gatepass_verifier.decisions] == [
        "allowed",
        "permission_missing",
        "token_deactivated",
    ]


def test_refusals_have_help_where_the_public_url_is_known(gatepass_verifier: FakeVerifier) -> None:
    known = FakeVerifier(public_url="https://gatepass.example.com")
    for verifier, helped in ((known, True), (gatepass_verifier, False)):
        decision = verifier.check(verifier.token("charges:get"), permission="refunds:get")
        assert (verifier.help(decision) is not None) == helped
    with pytest.raises(ValueError, match="must be a URL"):
        FakeVerifier(public_url="gatepass.example.com")


def test_its_parameters_and_results_are_those_of_every_verifier() -> None:
    """It overrides none of the methods that applications call."""
    for name, member in inspect.getmembers(Verifier, inspect.isfunction):
        if not name.startswith("__"):
            assert getattr(FakeVerifier, name) is member


def test_an_exception_ends_by_itself(gatepass_verifier: FakeVerifier) -> None:
    token = gatepass_verifier.token("charges:create")
    assert reason(gatepass_verifier, token) == "permission_missing"
    gatepass_verifier.allow_for(token, "charges:get", 900)
    gatepass_verifier.allow_for(token, "refunds:create", timedelta(hours=1))
    assert reason(gatepass_verifier, token) == "allowed"
    gatepass_verifier.advance(900)
    assert reason(gatepass_verifier, token) == "permission_missing"
    assert reason(gatepass_verifier, token, permission="refunds:create") == "allowed"
    gatepass_verifier.set_role("charges:*")
    assert reason(gatepass_verifier, token, permission="refunds:create") == "permission_missing"
    for wrong in ("charges:*", "*", "charges"):
        with pytest.raises(ValueError, match="must be"):
            gatepass_verifier.allow_for(token, wrong, 1)


def test_a_token_is_limited_as_its_maker_said(gatepass_verifier: FakeVerifier) -> None:
    verifier = gatepass_verifier
    token = verifier.token(
        *("charges:*", "payouts:create"),
        label="the till",
        metadata={"team": "shop"},
        external_id="till/7",
    )
    decision = verifier.check(token, permission="charges:get")
    assert decision.allowed
    assert decision.grant is not None
    assert (decision.grant.label, decision.grant.company) == ("the till", "com_test")
    assert (decision.grant.metadata, decision.grant.external_id) == ({"team": "shop"}, "till/7")
    assert decision.effective == ("charges:*", "payouts:create")
    assert reason(verifier, token, permission="refunds:create") == "permission_missing"

    networked = verifier.token("charges:get", networks=["203.0.113.0/24", "2001:db8::/32"])
    assert reason(verifier, networked, address="203.0.113.9") == "allowed"
    assert reason(verifier, networked, address="198.51.100.1") == "address_not_allowed"
    assert reason(verifier, networked) == "address_not_allowed"

    ui = verifier.token("charges:get", kind="ui", domains=["shop.example.com"])
    assert reason(verifier, ui) == "origin_missing"
    assert reason(verifier, ui, origin="https://shop.example.com") == "allowed"
    assert reason(verifier, ui, origin="https://evil.example") == "origin_not_allowed"


@pytest.mark.parametrize("expires_in", [60, 60.0, timedelta(minutes=1)])
def test_time_passes_as_the_test_says(
    expires_in: float | timedelta, gatepass_verifier: FakeVerifier
) -> None:
    token = gatepass_verifier.token("charges:get", expires_in=expires_in)
    lasting = gatepass_verifier.token("charges:get")
    assert reason(gatepass_verifier, token) == "allowed"
    gatepass_verifier.advance(60)
    assert reason(gatepass_verifier, token) == "token_expired"
    gatepass_verifier.advance(timedelta(days=10_000))
    assert reason(gatepass_verifier, lasting) == "allowed"
    # Its two clocks advance together, as those of one machine.
    assert gatepass_verifier.clock.watch()
    assert gatepass_verifier.not_ready() is None
    gatepass_verifier.expire(lasting)
    assert reason(gatepass_verifier, lasting) == "token_expired"


def test_owners_and_companies_change_for_all_of_their_tokens(
    gatepass_verifier: FakeVerifier,
) -> None:
    verifier = gatepass_verifier
    token = verifier.token("charges:get")
    other = verifier.token("charges:get", owner="usr_2", company="com_2")
    third = verifier.token("charges:get", owner="usr_3", company="com_2")

    verifier.set_role("charges:create")
    assert reason(verifier, token) == "permission_missing"
    verifier.set_role("*")
    assert reason(verifier, token) == "allowed"

    verifier.set_allowlist("203.0.113.0/24", company="com_2")
    assert reason(verifier, other) == "company_address_not_allowed"
    assert reason(verifier, other, address="203.0.113.9") == "allowed"
    verifier.set_allowlist(company="com_2")
    verifier.deactivate_owner("usr_2")
    assert reason(verifier, other) == "account_deactivated"
    assert (reason(verifier, third), reason(verifier, token)) == ("allowed", "allowed")


def test_stale_it_decides_nothing(gatepass_verifier: FakeVerifier) -> None:
    token = gatepass_verifier.token("charges:get")
    assert gatepass_verifier.fresh()
    assert reason(gatepass_verifier, token) == "allowed"
    gatepass_verifier.go_stale()
    assert not gatepass_verifier.fresh()
    for text in (token, gatepass_verifier.token("charges:get"), "gpat_wrong", ""):
        with pytest.raises(Unavailable) as raised:
            reason(gatepass_verifier, text)
        assert raised.value.reason == "stale"
    gatepass_verifier.recover()
    assert reason(gatepass_verifier, token) == "allowed"


def test_it_decides_by_method_and_path(tmp_path: Path) -> None:
    path = tmp_path / "catalogue.yaml"
    path.write_text(CATALOGUE)
    routes = {"GET /charges/{id}": "charges:get", "POST /charges": "charges:create"}
    for verifier in (
        FakeVerifier(catalogue=path),
        FakeVerifier(catalogue=str(path)),
        FakeVerifier(catalogue=parse_catalogue(CATALOGUE)),
        FakeVerifier(permissions=routes),
    ):
        token = verifier.token("charges:get")
        seen = [
            verifier.check(token, method=method, path=path).reason
            for method, path in (
                ("GET", "/charges/1"),
                ("POST", "/charges"),
                ("GET", "/elsewhere"),
                ("GET", "/charges//1"),
            )
        ]
        assert seen == ["allowed", "permission_missing", "route_unknown", "path_ambiguous"]


def test_owners_of_each_type(gatepass_verifier: FakeVerifier) -> None:
    """What an application does with a token's owner can be tested."""
    verifier = gatepass_verifier
    made = [
        (verifier.owner(external_id="customer-7", name="Turin"), "external", "customer-7"),
        (verifier.owner("service_account", name="Turin"), "service_account", None),
        (verifier.owner("user", name="Turin"), "user", None),
    ]
    for owner, type, external_id in made:
        token = verifier.token("charges:get", owner=owner)
        decision = verifier.check(token, permission="charges:get")
        assert decision.allowed
        assert decision.owner is not None
        seen = decision.owner
        assert (seen.id, seen.type, seen.name) == (owner, type, "Turin")
        assert seen.external_id == external_id
        assert owner[:4] == {"external": "ext_", "service_account": "svc_", "user": "usr_"}[type]
        verifier.set_role("charges:create", owner=owner)
        assert reason(verifier, token) == "permission_missing"
        verifier.deactivate_owner(owner)
        assert reason(verifier, token) == "account_deactivated"
    # Free again, and another company's don't count.
    again = verifier.owner(external_id="customer-7")
    assert again != made[0][0]
    verifier.owner(external_id="customer-7", company="com_2")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda verifier: verifier.token(), "at least one"),
        (lambda verifier: verifier.token("charges"), "such as charges:get"),
        (lambda verifier: verifier.token("*"), "such as charges:get"),
        (lambda verifier: verifier.token("charges:gte"), "of the catalogue"),
        (lambda verifier: verifier.set_role("chagres:*"), "of the catalogue"),
        (lambda verifier: verifier.token("charges:get", networks=["203.0.113"]), "IP address"),
        (lambda verifier: verifier.token("charges:get", networks="203.0.113.0/24"), "list"),
        (lambda verifier: verifier.token("charges:get", domains=["x.example"]), "kind is ui"),
        (lambda verifier: verifier.token("charges:get", kind="UI"), "api or ui"),
        (lambda verifier: verifier.token("charges:get", expires_in=0), "later than now"),
        (lambda verifier: verifier.token("charges:get", company="com_2"), "must stay"),
        (lambda verifier: verifier.owner(), "given for an external owner"),
        (lambda verifier: verifier.owner("user", external_id="7"), "never for a user"),
        (lambda verifier: verifier.owner(external_id=""), "1 to 200"),
        (lambda verifier: verifier.owner("person"), "user or service_account or external"),
        (lambda verifier: [verifier.owner(external_id="7") for _ in "12"], "one active owner"),
        (
            lambda verifier: verifier.token(
                "access-tokens:get", owner=verifier.owner(external_id="7")
            ),
            "of the catalogue's file",
        ),
        (lambda verifier: verifier.advance(-1), "later than now"),
        (lambda verifier: verifier.advance(float("nan")), "later than now"),
        (lambda verifier: verifier.deactivate("gpat_wrong"), "must be a token"),
        (lambda verifier: verifier.expire(FakeVerifier().token("charges:get")), "must be a token"),
        (lambda verifier: verifier.deactivate_owner("usr_2"), "must be one of 'usr_test'"),
        (lambda verifier: verifier.set_allowlist(company="com_2"), "must be one of 'com_test'"),
    ],
)
def test_a_mistake_of_the_test_is_an_error(
    wrong: Callable[[FakeVerifier], object], words: str
) -> None:
    """Otherwise a misspelt permission would pass for a refusal that was tested."""
    with pytest.raises(ValueError, match=words):
        wrong(FakeVerifier(catalogue=parse_catalogue(CATALOGUE)))


def test_a_catalogue_that_is_missing_or_broken_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("permissions: [")
    with pytest.raises(Misconfigured):
        FakeVerifier(catalogue=tmp_path / "nowhere.yaml")
    with pytest.raises(CatalogueError):
        FakeVerifier(catalogue=tmp_path / "broken.yaml")
    with pytest.raises(ValueError, match="only one"):
        FakeVerifier(catalogue=parse_catalogue(CATALOGUE), permissions={})


def test_no_error_contains_a_secret() -> None:
    token = FakeVerifier().token("charges:get")
    with pytest.raises(ValueError, match=token[:21]) as raised:
        FakeVerifier().deactivate(token)
    assert token[21:] not in str(raised.value)


def test_every_decision_is_recorded_also_one_from_the_cache(
    gatepass_verifier: FakeVerifier,
) -> None:
    token = gatepass_verifier.token("charges:get")
    made = [gatepass_verifier.check(token, permission="charges:get") for _ in range(3)]
    assert gatepass_verifier.decisions == made
    assert token[21:] not in repr(gatepass_verifier.decisions)


@pytest.mark.processes
@pytest.mark.parametrize("wanted", ["def test(): ...", "def test(gatepass_verifier): ..."])
def test_the_plugin_imports_gatepass_only_for_a_test_that_uses_it(
    wanted: str, tmp_path: Path
) -> None:
    (tmp_path / "test_it.py").write_text(wanted)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -q -p no:cacheprovider")
    program = "import sys, pytest\nassert pytest.main([]) == 0\nprint('gatepass' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"{'verifier' in wanted}\n")


@pytest.mark.processes
def test_it_needs_no_pytest() -> None:
    program = "import sys, gatepass.testing; sys.exit('pytest' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
