"""What is stored of grants, holders and companies: its bytes round-trip and stay readable."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gatepass.core import grants as grants_module
from gatepass.core.credentials import Credential, make
from gatepass.core.decision import Call, decide
from gatepass.core.grants import (
    EXTERNAL,
    SERVICE_ACCOUNT,
    CompanyRules,
    Grant,
    Holder,
    Rehearsal,
    decode_company,
    decode_grant,
    decode_holder,
    encode,
    external_role,
    share_values,
)
from gatepass.core.networks import Networks, parse_network

texts = st.text(max_size=8)
name_sets = st.frozensets(texts, max_size=4)
network_lists = st.none() | st.lists(
    st.sampled_from(["10.0.0.0/8", "2001:db8::/32", "203.0.113.9"]).map(parse_network), max_size=3
).map(Networks.of)
grants = st.builds(
    Grant,
    id=texts,
    digest=st.binary(max_size=32),
    kind=texts,
    company=texts,
    user=texts,
    label=texts,
    permissions=name_sets,
    networks=network_lists,
    domains=st.lists(texts, max_size=3).map(tuple),
    expires_at=st.none() | st.integers(0, 2**53),
    deactivated=st.booleans(),
    metadata=st.none() | st.dictionaries(texts, texts, min_size=1, max_size=3),
    external_id=st.none() | texts,
    rehearsal=st.none()
    | st.builds(Rehearsal, st.integers(0, 2**53), st.integers(0, 2**53), st.integers(1, 100)),
    pending=st.booleans(),
    issued_at=st.none() | st.integers(0, 2**43),
    exceptions=st.none() | st.dictionaries(texts, st.integers(0, 2**53), min_size=1, max_size=3),
)
holders = st.builds(
    Holder,
    id=texts,
    company=texts,
    active=st.booleans(),
    role=texts,
    type=texts,
    name=texts,
    external_id=st.none() | texts,
)
companies = st.builds(
    CompanyRules,
    id=texts,
    active=st.booleans(),
    allowlist=network_lists,
    roles=st.dictionaries(texts, name_sets, max_size=3),
)

EXAMPLE = Grant(
    id="gpat_4fT0aB3cD5eF7gH9",
    digest=bytes(32),
    kind="api",
    company="com_1",
    user="usr_1",
    label="Shop",
    permissions=frozenset({"charges:get", "charges:create"}),
    networks=None,
    domains=(),
    expires_at=None,
    deactivated=False,
)


@given(grants)
def test_grants_round_trip(grant: Grant) -> None:
    """No fact of a grant is lost; None and an empty list of networks stay apart."""
    assert decode_grant(encode(grant)) == grant


@given(holders)
def test_holders_round_trip(holder: Holder) -> None:
    """No fact of a holder is lost."""
    assert decode_holder(encode(holder)) == holder


def test_what_records_have_in_common_is_kept_once() -> None:
    """Thousands of tokens of a company with equal permissions don't repeat either in memory."""
    one, other = (share_values(decode_grant(encode(EXAMPLE))) for _ in range(2))
    assert one.permissions is other.permissions
    assert one.company is other.company
    holder = decode_holder(encode(Holder(EXAMPLE.user, EXAMPLE.company, True, "admin")))
    assert holder.id is one.user
    assert holder.company is one.company
    rules = decode_company(
        encode(CompanyRules(EXAMPLE.company, True, None, {"own": EXAMPLE.permissions}))
    )
    assert rules.id is one.company
    assert rules.roles["own"] is one.permissions


def test_what_is_kept_of_sets_is_bounded() -> None:
    """Companies choose the sets of their tokens; they can't fill the memory with them."""
    for number in range(3_000):
        names = frozenset({f"a:{number}"})
        assert share_values(replace(EXAMPLE, permissions=names)).permissions == names
    kept = grants_module._first_equal.cache_info
    assert kept().currsize <= 1_024
    before = kept().misses
    many = frozenset(f"a:{number}" for number in range(200))
    assert share_values(replace(EXAMPLE, permissions=many)).permissions == many
    assert kept().misses == before, "a set this large is kept"


@given(companies)
def test_companies_round_trip(company: CompanyRules) -> None:
    """No fact of a company is lost."""
    assert decode_company(encode(company)) == company


def test_equal_records_are_equal_bytes() -> None:
    """Sets and roles are written in one order, so that bytes can be compared."""
    names = [f"charges:{number}" for number in range(50)]
    one = CompanyRules("cmp_1", True, None, {"a": frozenset(names), "b": frozenset()})
    two = CompanyRules("cmp_1", True, None, {"b": frozenset(), "a": frozenset(reversed(names))})
    assert encode(one) == encode(two)


@pytest.mark.parametrize(
    "record", [b"", b"\x00", b"\xc0", b"\x90", b"\x94\xa1a\xa1b\xc3", b"\x94\xa1a\xa1b\x01\xa1c"]
)
def test_broken_bytes_are_an_error(record: bytes) -> None:
    """Nothing is guessed: a row that can't be read is an error, never a grant."""
    for decode in (decode_grant, decode_holder, decode_company):
        with pytest.raises(msgspec.DecodeError):
            decode(record)


def test_fields_of_a_later_version_are_passed_over() -> None:
    """A node reads the rows of one that is a version ahead."""
    longer = msgspec.msgpack.encode(["usr_1", "cmp_1", True, "admin", "user", "Ada", None, "news"])
    assert decode_holder(longer) == Holder("usr_1", "cmp_1", True, "admin", name="Ada")


class _FormerHolder(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A holder as release 0.1.0 knows it."""

    id: str
    company: str
    active: bool
    role: str


def test_the_former_release_decides_by_the_rows_of_owners_alike() -> None:
    """It reads no type; an external owner's role is a role of its own to it."""
    former = msgspec.msgpack.Decoder(_FormerHolder)
    rules = CompanyRules(
        "cmp_1",
        True,
        None,
        {"all": frozenset({"*"}), external_role("all"): frozenset({"charges:get"})},
    )
    credential = make("gpat")
    permissions = frozenset({"charges:*", "users:get"})
    all_of_it, gone = external_role("all"), external_role("gone")
    for owner, name, allowed in (
        (Holder("svc_1", "cmp_1", True, "all", SERVICE_ACCOUNT, "Jobs"), "users:get", True),
        (Holder("svc_1", "cmp_1", False, "all", SERVICE_ACCOUNT, "Jobs"), "users:get", False),
        (Holder("ext_1", "cmp_1", True, all_of_it, EXTERNAL, "A", "7"), "charges:get", True),
        (Holder("ext_1", "cmp_1", True, all_of_it, EXTERNAL, "A", "7"), "users:get", False),
        (Holder("ext_1", "cmp_1", True, gone, EXTERNAL, "A", "7"), "charges:get", False),
    ):  # fmt: skip
        grant = replace(
            EXAMPLE, id=credential.id, digest=credential.digest, company="cmp_1", user=owner.id,
            permissions=permissions,
        )  # fmt: skip
        call = Call(Credential(credential.id, credential.digest), name)
        for holder in (owner, former.decode(encode(owner))):
            assert decide(grant, holder, rules, call, 0).allowed is allowed, (holder, name)


class RehearsingGrant(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A grant as a release has it that knows rehearsals, and no approvals."""

    id: str
    digest: bytes
    kind: str
    company: str
    user: str
    label: str
    permissions: frozenset[str]
    networks: Networks | None
    domains: tuple[str, ...]
    expires_at: int | None
    deactivated: bool
    metadata: dict[str, str] | None = None
    external_id: str | None = None
    rehearsal: Rehearsal | None = None


class PendingGrant(RehearsingGrant, frozen=True, gc=False, array_like=True):
    """A grant as a release has it that knows approvals, and no exceptions."""

    pending: bool = False


class FormerGrant(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A grant as the release before admin keys and limited verifier keys has it."""

    id: str
    digest: bytes
    kind: str
    company: str
    user: str
    label: str
    permissions: frozenset[str]
    networks: Networks | None
    domains: tuple[str, ...]
    expires_at: int | None
    deactivated: bool


@pytest.mark.parametrize("kind", ["admin", "limited-verifier", "portal"])
def test_a_former_release_refuses_what_is_limited(kind: str) -> None:
    """It knows none of these kinds: to its checks each is a credential of another one."""
    grant = replace(EXAMPLE, kind=kind, user="", permissions=frozenset({"companies", "com_1"}))
    former = msgspec.msgpack.Decoder(FormerGrant).decode(encode(grant))
    assert former.kind not in ("api", "ui", "login", "verifier")
    assert (former.id, former.digest) == (grant.id, grant.digest)


@given(grants)
def test_a_former_release_reads_the_fields_it_knows(grant: Grant) -> None:
    """What a token is noted with stands behind them, and decides nothing."""
    former = msgspec.msgpack.Decoder(FormerGrant).decode(encode(grant))
    assert all(
        getattr(former, name) == getattr(grant, name) for name in FormerGrant.__struct_fields__
    )
    plain = replace(
        grant,
        **dict.fromkeys(("metadata", "external_id", "rehearsal", "issued_at", "exceptions")),
        pending=False,
    )
    as_before = FormerGrant(*(getattr(grant, name) for name in FormerGrant.__struct_fields__))
    assert encode(plain) == msgspec.msgpack.encode(as_before, order="deterministic")
    assert decode_grant(encode(plain)) == plain, "a row of a former release has no such field"


@given(grants)
def test_digests_stay_out_of_representations(grant: Grant) -> None:
    """A log line that shows a grant shows its id and not its digest."""
    assert "digest" not in repr(grant)
    assert repr(grant.id) in repr(grant)


def test_the_former_release_refuses_a_rehearsed_token() -> None:
    """It doesn't know rehearsals: it refuses all calls, where this one refuses some."""
    rehearsed = replace(EXAMPLE, deactivated=True, rehearsal=Rehearsal(1_000, 2_000, 1))
    former = msgspec.msgpack.Decoder(FormerGrant).decode(encode(rehearsed))
    assert former.deactivated
    assert not rehearsed.ended
    assert replace(rehearsed, rehearsal=None).ended


def test_former_releases_refuse_a_pending_token() -> None:
    """They know no approvals: to them it is deactivated, until it is approved."""
    pending = replace(EXAMPLE, deactivated=True, pending=True)
    assert not pending.ended
    for former in (FormerGrant, RehearsingGrant):
        assert msgspec.msgpack.Decoder(former).decode(encode(pending)).deactivated
    assert msgspec.msgpack.Decoder(RehearsingGrant).decode(encode(pending)).rehearsal is None
    assert encode(replace(pending, deactivated=False, pending=False)) == encode(EXAMPLE)


def test_former_releases_refuse_what_an_exception_allows() -> None:
    """They know no exceptions: the rest of the token is the same to them."""
    excepted = replace(EXAMPLE, exceptions={"refunds:create": 2_000})
    for former in (FormerGrant, RehearsingGrant, PendingGrant):
        read = msgspec.msgpack.Decoder(former).decode(encode(excepted))
        assert (read.permissions, read.deactivated) == (EXAMPLE.permissions, False)
    assert decode_grant(encode(excepted)) == excepted
    assert excepted.excepted(1_999) == {"refunds:create"}
    assert excepted.excepted(2_000) == EXAMPLE.excepted(0) == frozenset()
