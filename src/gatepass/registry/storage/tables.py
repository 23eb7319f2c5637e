"""The schema of the registry, the same on SQLite and PostgreSQL.

Times are Unix milliseconds, days are whole days since 1970 (UTC). The three tables that decisions
read (grants, holders, company_rules) are not here: they derive from these, and
``verify.grant_file`` owns them. Whoever changes this file writes a migration; a test compares.
"""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

#: Ids and folded texts compare by code point on both engines, whatever a database's locale is.
key_text = Text().with_variant(Text(collation="C"), "postgresql")

#: A number that rises with each row. SQLite counts by itself only under the name INTEGER.
row_number = BigInteger().with_variant(Integer, "sqlite")


class JSONText(TypeDecorator[Any]):
    """A value as compact JSON in a text column, so that both engines hold the same bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write the value."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read it back."""
        return None if value is None else json.loads(value)


def _ended() -> tuple[Column[Any], ...]:
    # Who ended it is kept by name too: the command line and the system have no user id.
    return (
        Column("deactivated_at", BigInteger),
        Column("deactivated_by", key_text),
        Column("deactivated_by_name", Text),
    )


# --- order -------------------------------------------------------------------------------------

#: One row: the lock of all changes. A transaction that changes anything takes it first.
revision = Table(
    "revision",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("tag", Text, nullable=False),
)

#: Every revision there was, so that a copy can be told whether it shares this history.
revisions = Table(
    "revisions",
    metadata,
    Column("number", row_number, primary_key=True, autoincrement=False),
    Column("tag", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: Which records decisions read changed at which revision, kept as long as ``revisions`` are: what a
#: follower that was there reads on from. A row whose record is gone is a tombstone.
changed_records = Table(
    "changed_records",
    metadata,
    Column("revision", row_number, primary_key=True, autoincrement=False),
    Column("record_table", key_text, primary_key=True),
    Column("record_id", key_text, primary_key=True),
)

# --- who decides by it -------------------------------------------------------------------------

#: Nodes and embedded verifiers: who decides by a copy of the grants (or by the database itself).
nodes = Table(
    "nodes",
    metadata,
    Column("id", key_text, primary_key=True),
    # node, embedded
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("address", Text),
    # The verifier key that an embedded one follows with.
    Column("key_id", key_text),
    # The companies and permissions its copy is limited to; None is no limit.
    Column("limits", JSONText),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    # The latest moment it may have been vouched for, and for how long that counts.
    Column("vouched_at", BigInteger, nullable=False),
    Column("staleness_ms", BigInteger, nullable=False),
    # The latest revision it has acknowledged.
    Column("revision", BigInteger, nullable=False),
)

#: What was ended at a revision, and when everyone who could have said "allowed" was known to
#: refuse it.
receipts = Table(
    "receipts",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("subject_id", key_text, primary_key=True),
    Column("subject_kind", Text, nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("company_id", key_text),
    Column("at", BigInteger, nullable=False),
    # When it was first seen to have been committed: never before it was.
    Column("committed_at", BigInteger),
    Column("completed_at", BigInteger),
    Index(None, "subject_id", "revision"),
    Index(None, "completed_at"),
)

#: Who could have said "allowed" at that moment, and when each acknowledged the revision.
receipt_confirmations = Table(
    "receipt_confirmations",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", key_text, primary_key=True),
    Column("node_name", Text, nullable=False),
    Column("node_kind", Text, nullable=False),
    # How long it decides without being vouched for.
    Column("staleness_ms", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Index(None, "node_id", "confirmed_at"),
)

# --- who ---------------------------------------------------------------------------------------

companies = Table(
    "companies",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_folded", key_text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    *_ended(),
    Column("second_factor_required", Boolean, nullable=False, default=False),
    # Until when (Unix ms) the entries on trial count instead of the settled ones.
    Column("allowlist_trial_until", BigInteger),
)

roles = Table(
    "roles",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_folded", key_text, nullable=False),
    Column("permissions", JSONText, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("company_id", "name_folded"),
)

users = Table(
    "users",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("email_folded", key_text, nullable=False),
    Column("name", Text, nullable=False),
    # A built-in role's id or one of this company's own: not a foreign key, for the former.
    Column("role", key_text, nullable=False),
    Column("operator", Boolean, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    *_ended(),
    Column("last_sign_in_at", BigInteger),
    # The second factor's secret, sealed with the installation's key; None is no second factor.
    Column("totp_sealed", LargeBinary),
    # The latest time step whose code was used: no code is good twice.
    Column("totp_last_step", BigInteger),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "email_folded"),
    # An address is one active user's; whoever had it before and was deactivated keeps theirs, too.
    Index(
        "ix_users_active_email_folded",
        "email_folded",
        unique=True,
        sqlite_where=text("deactivated_at IS NULL"),
        postgresql_where=text("deactivated_at IS NULL"),
    ),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", key_text, ForeignKey("users.id"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("used_at", BigInteger),
)


def _entries(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("company_id", key_text, ForeignKey("companies.id"), primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("network", Text, nullable=False),
        Column("note", Text, nullable=False),
    )


allowlist_entries = _entries("allowlist_entries")
#: The list that counts instead while it is on trial.
allowlist_trial_entries = _entries("allowlist_trial_entries")

# --- links in mail -----------------------------------------------------------------------------

# A link is made when its mail goes out, never before: its secret is in the mail alone, and what is
# kept here opens nothing. Until then, and after it has been replaced, ``link_id`` is None.

invitations = Table(
    "invitations",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("email_folded", key_text, nullable=False),
    Column("role", key_text, nullable=False),
    Column("invited_by", key_text, ForeignKey("users.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("link_id", key_text, unique=True),
    Column("link_digest", LargeBinary),
    Column("delivered_at", BigInteger),
    Column("accepted_at", BigInteger),
    Column("accepted_by", key_text),
    *_ended(),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "email_folded"),
)

password_resets = Table(
    "password_resets",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("link_id", key_text, unique=True),
    Column("link_digest", LargeBinary),
    Column("used_at", BigInteger),
    # Where from, as failed sign-ins are counted: an IPv6 address by its /64.
    Column("used_from", key_text),
    *_ended(),
    Index(None, "user_id", "created_at"),
    Index(None, "user_id", "used_from", "used_at"),
)

#: Other addresses that users are to have once the link that is mailed there was used.
email_changes = Table(
    "email_changes",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False),
    Column("former_email", Text, nullable=False),
    Column("email", Text, nullable=False),
    # The user's own id, a colleague's, or None: the command line.
    Column("requested_by", key_text),
    Column("requested_by_name", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("link_id", key_text, unique=True),
    Column("link_digest", LargeBinary),
    Column("used_at", BigInteger),
    *_ended(),
    Index(None, "user_id", "created_at"),
)

#: Mail to be sent, without its text: that is written, links included, the moment it goes out.
outgoing_mail = Table(
    "outgoing_mail",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("subject_id", key_text, nullable=False),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # waiting, sending, handed over (its fate unknown), delivered, given up, dropped
    Column("state", Text, nullable=False),
    # When it is tried next; while it is being sent, when whoever does so counts as dead.
    Column("due_at", BigInteger, nullable=False),
    # From when on it would be of no use.
    Column("expires_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("trouble", Text),
    Column("delivered_at", BigInteger),
    Index(None, "state", "due_at"),
    Index(None, "subject_id", "created_at"),
)

# --- credentials -------------------------------------------------------------------------------

authentications = Table(
    "authentications",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("address", Text),
    # The address as failed sign-ins are counted by it: an IPv6 one by its /64.
    Column("source", key_text),
    Column("user_agent", Text),
    *_ended(),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "user_id", "created_at", "id"),
    # Those that are still good are few, however many there were.
    Index(None, "user_id", "expires_at"),
    # Whether an account was opened from an address lately.
    Index(None, "user_id", "source", "created_at"),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("kind", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("label_folded", key_text, nullable=False),
    Column("permissions", JSONText, nullable=False),
    Column("networks", JSONText, nullable=False),
    Column("domains", JSONText, nullable=False),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text, ForeignKey("users.id"), nullable=False),
    *_ended(),
    # The form a token was made with makes no second one, however often it is sent.
    Column("form_id", key_text),
    UniqueConstraint("created_by", "form_id"),
    # Lists are ordered by the first three; what they are searched and filtered by stands in the
    # index too, so that looking through a hundred thousand touches no table row.
    Index(
        "ix_access_tokens_search",
        *("company_id", "created_at", "id"),
        *("deactivated_at", "expires_at", "kind", "label_folded"),
    ),
)

verifier_keys = Table(
    "verifier_keys",
    metadata,
    Column("id", key_text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    *_ended(),
)

# --- what happened -----------------------------------------------------------------------------

audit_events = Table(
    "audit_events",
    metadata,
    Column("number", row_number, primary_key=True),
    Column("id", key_text, nullable=False, unique=True),
    Column("company_id", key_text),
    Column("at", BigInteger, nullable=False),
    Column("actor_kind", Text, nullable=False),
    Column("actor_id", key_text),
    Column("actor_name", Text, nullable=False),
    Column("actor_credential", key_text),
    Column("address", Text),
    Column("action", Text, nullable=False),
    Column("subject_kind", Text, nullable=False),
    Column("subject_id", key_text, nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("before", JSONText),
    Column("after", JSONText),
    Index(None, "company_id", "at", "number"),
    Index(None, "company_id", "actor_id", "at", "number"),
    Index(None, "company_id", "action", "at", "number"),
    Index(None, "subject_id", "at", "number"),
    Index(None, "actor_credential", "at", "number"),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("number", row_number, primary_key=True),
    Column("key", key_text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "key", "at"),
    Index(None, "at"),
)

# --- use ---------------------------------------------------------------------------------------

token_use = Table(
    "token_use",
    metadata,
    Column("token_id", key_text, primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    Column("last_address", Text),
    Column("last_permission", Text),
    Column("total", BigInteger, nullable=False),
)

token_use_days = Table(
    "token_use_days",
    metadata,
    Column("token_id", key_text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("uses", BigInteger, nullable=False),
    Index(None, "day"),
)

token_use_addresses = Table(
    "token_use_addresses",
    metadata,
    Column("token_id", key_text, primary_key=True),
    Column("address", key_text, primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
)

#: How far each spool file has been counted, in bytes; moved in the transaction that counts.
usage_spools = Table(
    "usage_spools",
    metadata,
    Column("name", key_text, primary_key=True),
    Column("folded_to", BigInteger, nullable=False),
)

decision_counts = Table(
    "decision_counts",
    metadata,
    Column("reason", key_text, primary_key=True),
    Column("total", BigInteger, nullable=False),
)
