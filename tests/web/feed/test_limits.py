"""Limited feeds: a copy holds exactly the registry's records within its limits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.grants import (
    CompanyRules,
    Grant,
    Holder,
    decode_company,
    decode_grant,
    decode_holder,
    encode,
)
from gatepass.core.imported_keys import declaration
from gatepass.core.published_catalogue import IDS as CATALOGUE_IDS
from gatepass.registry.storage.revisions import ChangedRow
from gatepass.verify.replica import frames
from gatepass.web.feed.chunking import chunks
from gatepass.web.feed.limits import Limits
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.feed.asgi_feed import OpenFeed, here, registry

COMPANIES = ("com_one", "com_two", "com_three")
PERMISSIONS = ("charges:create", "charges:get", "charges:*", "refunds:get")
Copy = dict[tuple[str, str], bytes]


def grant(key: str, company: str, permissions: frozenset[str], deactivated: bool) -> Grant:
    kinds = {"gpat": "api", "gplt": "login", "gpvk": "verifier", "gpps": "portal"}
    return Grant(
        key,
        b"d" * 32,
        kinds[key[:4]],
        company,
        "usr",
        key,
        permissions,
        None,
        (),
        None,
        deactivated,
    )


def test_the_catalogue_is_within_every_limit(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    """Also for a key that is limited to one company."""
    ada = any_installation.signed_in()
    assert ada.put("/v1/catalogue", json={"text": CATALOGUE}).status_code == 200
    limited = ada.post(
        "/v1/verifier-keys", json={"label": "x", "companies": [any_installation.company.id]}
    ).json()["key"]
    for options in ({}, {"key": limited}, {"permissions": ["refunds:get"]}):
        feed = open_feed(**options)
        feed.reached()
        assert {("grants", each) for each in CATALOGUE_IDS} <= feed.copy.keys()


keys = st.sampled_from(["gpat_1", "gpat_2", "gpat_3", "gplt_1", "gplt_2", "gpvk_1", "gpps_1"])
companies = st.sampled_from(COMPANIES)
permissions = st.frozensets(st.sampled_from([*PERMISSIONS, "*"]), max_size=3)
grants = st.builds(grant, keys, companies, permissions, st.booleans())
holders = st.builds(
    Holder, st.sampled_from(["usr_1", "usr_2"]), companies, st.booleans(), st.just("admin")
)
rules = st.builds(CompanyRules, companies, st.booleans(), st.none(), st.just({}))
put = st.one_of(grants, holders, rules)
removal = keys
#: Batches of changes, each sent from one transaction.
histories = st.lists(st.lists(st.one_of(put, removal), max_size=6), max_size=8)
limits = st.builds(
    Limits,
    st.frozensets(companies, max_size=2),
    st.frozensets(st.sampled_from(PERMISSIONS), max_size=2),
)
_TABLES = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}


@given(history=histories, limited=limits, joined=st.integers(0, 8))
def test_a_limited_copy_equals_the_limited_registry_after_any_changes(
    history: list[list[Any]], limited: Limits, joined: int
) -> None:
    registered: Copy = {}
    copy: Copy | None = None
    for number, step in enumerate([*history, []]):
        if copy is None and number >= min(joined, len(history)):
            rows = [(table, key, record, 0) for (table, key), record in registered.items()]
            copy = _sent({}, list(limited.only(rows, 0)))
        changed: dict[tuple[str, str], ChangedRow] = {}
        for change in step:
            if isinstance(change, str):
                place, record = ("grants", change), None
                registered.pop(place, None)
            else:
                place, record = (_TABLES[type(change)], change.id), encode(change)
                registered[place] = record
            changed[place] = (*place, record, number)
        if copy is not None:
            copy = _sent(copy, limited.of(changed.values(), 0))
    assert copy == {
        place: record for place, record in registered.items() if _within(limited, place, record)
    }


def _sent(copy: Copy, changes: list[ChangedRow]) -> Copy:
    """*copy* after the frames of *changes*."""
    read = frames.Frames()
    there = dict(copy)
    for some in chunks(changes):
        for frame in read.feed(frames.encode(frames.pack(some))):
            assert isinstance(frame, frames.Records)
            for table, key, record, _ in frames.unpack(frame):
                there.pop((table, key), None)
                if record is not None:
                    there[table, key] = record
    return there


def _within(limited: Limits, place: tuple[str, str], record: bytes) -> bool:
    """The limits' rule, implemented independently."""
    table, _ = place
    if table == "company_rules":
        company = decode_company(record).id
    elif table == "holders":
        company = decode_holder(record).company
    else:
        held = decode_grant(record)
        if held.kind in ("verifier", "portal"):
            return False
        company = held.company
        if limited.permissions and held.kind != "login" and "*" not in held.permissions:
            resources = {name.split(":")[0] for name in held.permissions}
            wanted = [
                name in held.permissions
                or name.split(":")[0] + ":*" in held.permissions
                or (name.endswith(":*") and name.split(":")[0] in resources)
                for name in limited.permissions
            ]
            if not any(wanted):
                return False
    return not limited.companies or company in limited.companies


@pytest.mark.parametrize("record", [b"\xc1", b"\x97\xa2\xff\xff"], ids=["no", "no UTF-8"])
def test_an_undecodable_record_is_sent(record: bytes) -> None:
    limited = Limits(frozenset({"com_one"}), frozenset({"charges:get"}))
    damaged: ChangedRow = ("grants", "gpat_1", record, 1)
    assert limited.of([damaged], 0) == [damaged]


def test_an_exception_counts_until_it_ends() -> None:
    excepted = Grant(
        "gpat_1", b"", "api", "com_one", "usr_1", "", frozenset({"charges:get"}), None, (), None,
        False, exceptions={"refunds:create": 1_000},
    )  # fmt: skip
    row = ("grants", excepted.id, encode(excepted), 1)
    gone: ChangedRow = ("grants", excepted.id, None, 1)
    for wanted in ("refunds:create", "refunds:*"):
        limited = Limits(permissions=frozenset({wanted}))
        assert limited.of([row], 999) == list(limited.only([row], 999)) == [row]
        assert limited.of([row], 1_000) == [gone]
        assert list(limited.only([row], 1_000)) == []


def test_prefixes_of_other_companies_are_not_named() -> None:
    """Unlike an id, a prefix says whose keys these are."""
    one, two = (
        (
            "grants",
            f"gpim/{name}_",
            encode(declaration(f"{name}_", f"com_{name}")),
            1,
        )
        for name in ("one", "two")
    )
    limited = Limits(frozenset({"com_one"}), frozenset({"charges:get"}))
    assert limited.of([one, two], 0) == list(limited.only([one, two], 0)) == [one]
    assert Limits().of([one, two], 0) == [one, two]


def test_portions_are_limited_by_size() -> None:
    records = [("company_rules", f"com_{n}", b"x" * 600_000, 1) for n in range(5)]
    records += [("grants", f"gpat_{n}", b"x", 1) for n in range(9_000)]
    cut = list(chunks(records))
    assert [record for portion in cut for record in portion] == records
    assert [len(portion) for portion in cut] == [2, 2, 4_000, 4_000, 1_001]
    assert list(chunks([])) == []


@pytest.mark.parametrize("full", [True, False])
def test_a_feed_of_one_company_has_only_its_records(
    open_feed: OpenFeed, any_installation: Installation, full: bool
) -> None:
    database = any_installation.node.database
    ours = any_installation.company.id
    before = here(database)
    other = any_installation.new_company("Difference Engines")
    any_installation.new_user("charles@example.com", company=other)
    theirs = any_installation.access_token("charges:get", maker="charles@example.com")[:21]
    token = any_installation.access_token("charges:get")[:21]
    feed = open_feed(companies=(ours,), position=None if full else before)
    feed.reached()
    assert ("grants", token) in feed.copy
    _is_ours(feed.copy, ours)
    # Later changes, too.
    any_installation.signed_in("charles@example.com").post(
        f"/v1/access-tokens/{theirs}/deactivate", json={}
    )
    any_installation.signed_in().post(f"/v1/access-tokens/{token}/deactivate", json={})
    feed.reached(here(database))
    _is_ours(feed.copy, ours)
    if full:
        assert feed.copy == {
            place: record
            for place, record in registry(database).items()
            if _within(Limits(frozenset({ours})), place, record)
        }
    assert decode_grant(feed.copy["grants", token]).deactivated


def _is_ours(copy: Copy, company: str) -> None:
    limited = Limits(frozenset({company}))
    assert all(_within(limited, place, record) for place, record in copy.items())


def test_a_token_that_loses_the_permission_leaves_the_copy(
    open_feed: OpenFeed, any_installation: Installation
) -> None:
    database = any_installation.node.database
    token = any_installation.access_token("charges:get", "refunds:get")[:21]
    feed = open_feed(permissions=("refunds:get",))
    feed.reached()
    assert ("grants", token) in feed.copy
    client = any_installation.signed_in()
    client.patch(f"/v1/access-tokens/{token}", json={"permissions": ["charges:get"]})
    feed.reached(here(database))
    assert ("grants", token) not in feed.copy
    client.patch(f"/v1/access-tokens/{token}", json={"permissions": ["refunds:*"]})
    feed.reached(here(database))
    assert ("grants", token) in feed.copy
    # Login tokens are in every feed of their company.
    assert any(key.startswith("gplt") for _, key in feed.copy)
