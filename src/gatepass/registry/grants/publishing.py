"""Publishes the grants, holders and company rules that derive from the records.

An operation that changes a record publishes the derived one in the same transaction, with its
revision. So decisions and pages can't disagree. ``changed_records`` keeps which record changed at
which revision, for followers.
"""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import bindparam, text

from gatepass.core import grants
from gatepass.core.errors import NotFound
from gatepass.core.grants import CompanyRules, Grant, Holder
from gatepass.core.imported_keys import PREFIX_IDS
from gatepass.core.networks import parse_address
from gatepass.registry.storage.database import Change, Reading
from gatepass.verify.grant_file import REMOVE, UPSERT

_UPSERT = {table: text(statement) for table, statement in UPSERT.items()}
_REMOVE = {table: text(statement) for table, statement in REMOVE.items()}
_CHANGED = text(
    "INSERT INTO changed_records (revision, record_table, record_id) "
    "VALUES (:revision, :record_table, :id) ON CONFLICT DO NOTHING"
)
_SELECT = {
    table: text(f"SELECT record FROM {table} WHERE id = :id")  # noqa: S608 - the grant file's own table names
    for table in UPSERT
}
_SELECT_GRANTS = text("SELECT record FROM grants WHERE id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_SELECT_HOLDERS = text("SELECT record FROM holders WHERE id IN :ids").bindparams(
    bindparam("ids", expanding=True)
)
_SELECT_BETWEEN = text("SELECT record FROM grants WHERE id >= :low AND id < :high")
_SELECT_OF_ACTOR = text(
    "SELECT (SELECT record FROM grants WHERE id = :credential), "
    "(SELECT record FROM holders WHERE id = :user), "
    "(SELECT record FROM company_rules WHERE id = :company)"
)


def publish(change: Change, record: Grant | Holder | CompanyRules) -> None:
    """Store a record for decisions, with this transaction's revision."""
    _publish(change, _TABLES[type(record)], [record])


def publish_grants(change: Change, records: Sequence[Grant]) -> None:
    """Publish many grants in one statement."""
    _publish(change, "grants", records)


def deactivate_grants(change: Change, ids: Sequence[str]) -> None:
    """Publish the grants *ids* as deactivated; those that aren't published are passed over."""
    records = change.session.scalars(_SELECT_GRANTS, {"ids": ids})
    final = {"deactivated": True, "rehearsal": None, "pending": False}
    ended = [msgspec.structs.replace(grants.decode_grant(one), **final) for one in records]
    publish_grants(change, ended)


def withdraw_grants(change: Change, ids: Sequence[str]) -> None:
    """Remove grants, with this transaction's revision; their texts become ``token_invalid``.

    Only for grants that can't be used any more and whose reason nobody asks for. Tokens that a user
    deactivated stay, and are refused as deactivated.
    """
    if ids:
        change.session.execute(_REMOVE["grants"], [{"id": each} for each in ids])
        _note(change, "grants", ids)


def published_grant(reading: Reading, credential: str) -> Grant | None:
    """The published grant of a credential id."""
    record = _record(reading, "grants", credential)
    return None if record is None else grants.decode_grant(record)


def published_grants(reading: Reading, credentials: Collection[str]) -> list[Grant]:
    """The published grants of those credential ids that have one."""
    if not credentials:
        return []
    found = reading.session.scalars(_SELECT_GRANTS, {"ids": list(credentials)})
    return [grants.decode_grant(record) for record in found]


def published_prefixes(reading: Reading) -> dict[str, str]:
    """The prefixes of imported keys, each with the id of the company whose keys have it."""
    low, high = PREFIX_IDS
    found = reading.session.scalars(_SELECT_BETWEEN, {"low": low, "high": high})
    declared = map(grants.decode_grant, found)
    return {each.label: each.company for each in declared}


def published_holder(reading: Reading, owner: str) -> Holder | None:
    """The published state and role of a user, service account or external owner."""
    record = _record(reading, "holders", owner)
    return None if record is None else grants.decode_holder(record)


def published_holders(reading: Reading, owners: Collection[str]) -> dict[str, Holder]:
    """The published holders of those owners that have one, by id."""
    if not owners:
        return {}
    found = reading.session.scalars(_SELECT_HOLDERS, {"ids": list(owners)})
    return {each.id: each for each in map(grants.decode_holder, found)}


def published_rules(reading: Reading, company: str) -> CompanyRules:
    """The published rules of a company.

    Raises:
        NotFound: there is no such company.
    """
    record = _record(reading, "company_rules", company)
    if record is None:
        raise NotFound("There is no such company.")
    return grants.decode_company(record)


def published_roles(reading: Reading, company: str) -> dict[str, frozenset[str]]:
    """The published permissions of each role of a company, by the role's id.

    Raises:
        NotFound: there is no such company.
    """
    roles = published_rules(reading, company).roles
    return {key: permits for key, permits in roles.items() if not grants.is_external_role(key)}


def published_of_actor(
    reading: Reading, credential: str, user: str, company: str
) -> tuple[Grant | None, Holder | None, CompanyRules | None]:
    """The published grant, holder and rules of an actor, in one round trip."""
    grant, holder, rules = reading.session.execute(
        _SELECT_OF_ACTOR, {"credential": credential, "user": user, "company": company}
    ).one()
    return (
        None if grant is None else grants.decode_grant(grant),
        None if holder is None else grants.decode_holder(holder),
        None if rules is None else grants.decode_company(rules),
    )


def _publish(change: Change, table: str, records: Sequence[Grant | Holder | CompanyRules]) -> None:
    if not records:
        return
    revision = change.revision
    change.session.execute(
        _UPSERT[table],
        [{"id": each.id, "record": grants.encode(each), "revision": revision} for each in records],
    )
    _note(change, table, [each.id for each in records])


def _note(change: Change, table: str, ids: Sequence[str]) -> None:
    revision = change.revision
    change.session.execute(
        _CHANGED, [{"revision": revision, "record_table": table, "id": each} for each in ids]
    )


def _record(reading: Reading, table: str, key: str) -> bytes | None:
    found: bytes | None = reading.session.execute(_SELECT[table], {"id": key}).scalar_one_or_none()
    return found


_TABLES: dict[type, str] = {Grant: "grants", Holder: "holders", CompanyRules: "company_rules"}


def admits(reading: Reading, rules: CompanyRules, address: str | None) -> bool:
    """Whether a company's allowlist at ``reading.now``, if it has one, contains *address*."""
    allowlist, packed = rules.allowlist_at(reading.now), parse_address(address)
    return allowlist is None or (packed is not None and allowlist.contains(packed))
