"""The tables of the registry, the same on SQLite and PostgreSQL.

Times are Unix milliseconds, days are whole days since 1970 (UTC). The three tables that decisions
read (grants, holders, company_rules) derive from these and are defined in ``verify.grant_file``. A
change here needs a migration; a test compares the two.
"""

import json
from collections.abc import Sequence
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
from sqlalchemy.schema import SchemaItem

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

#: Ids and folded texts compare by code point on both engines, whatever the database's locale.
key_text = Text().with_variant(Text(collation="C"), "postgresql")

#: An autoincrement number. SQLite requires the type name INTEGER for it.
row_number = BigInteger().with_variant(Integer, "sqlite")


class JSONText(TypeDecorator[Any]):
    """A value stored as compact JSON text, so that both engines hold the same bytes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode the value."""
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode the value."""
        return None if value is None else json.loads(value)


def _table(name: str, *parts: SchemaItem, **options: Any) -> Table:
    return Table(name, metadata, *parts, **options)


def _records(name: str, *parts: SchemaItem) -> Table:
    """A table of records, each with an ``id``."""
    return _table(name, Column("id", key_text, primary_key=True), *parts)


def _postings(name: str, *key: Column[Any], more: Sequence[Column[Any]] = ()) -> Table:
    """An index of records by *key*, newest first within a key.

    The primary key holds all columns, so SQLite stores nothing beside it. The rows derive from
    other tables; the operations that write those write these as well.
    """
    return _table(
        name,
        Column("company_id", key_text, primary_key=True),
        *key,
        Column("created_at", BigInteger, primary_key=True, autoincrement=False),
        Column("id", key_text, primary_key=True),
        *more,
        sqlite_with_rowid=False,
    )


def _word_index(name: str) -> tuple[Table, Table]:
    """The two tables of a ``word_index.WordIndex``: words of records, and parts of words."""
    words = _postings(
        f"{name}_words",
        Column("word", key_text, primary_key=True),
        # The text that follows the word, cut off.
        more=(Column("rest", key_text, primary_key=True),),
    )
    Index(
        f"ix_{name}_words_rest",
        *(words.c[column] for column in ("company_id", "word", "rest", "created_at", "id")),
    )
    # The end of each word from each of its characters on, cut off.
    parts = _table(
        f"{name}_word_parts",
        Column("company_id", key_text, primary_key=True),
        Column("part", key_text, primary_key=True),
        Column("word", key_text, primary_key=True),
        sqlite_with_rowid=False,
    )
    return words, parts


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _deactivation() -> tuple[Column[Any], ...]:
    # The name is stored, too: the command line and the system have no user id.
    return (
        Column("deactivated_at", BigInteger),
        Column("deactivated_by", key_text),
        Column("deactivated_by_name", Text),
    )


# --- revisions ---------------------------------------------------------------------------------

#: One row, which each ``Database.write`` locks first.
revision = _table(
    "revision",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
    Column("tag", Text, nullable=False),
)

#: The recent revisions, which show whether a copy belongs to this history.
revisions = _table(
    "revisions",
    Column("number", row_number, primary_key=True, autoincrement=False),
    Column("tag", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

#: Which records that decisions read changed at which revision, kept as long as ``revisions``.
#: Followers read from their position on. A row without a record is a tombstone.
changed_records = _table(
    "changed_records",
    Column("revision", row_number, primary_key=True, autoincrement=False),
    Column("record_table", key_text, primary_key=True),
    Column("record_id", key_text, primary_key=True),
)

# --- followers ---------------------------------------------------------------------------------

#: Nodes and embedded verifiers, which decide by a copy of the grants (or by the database itself).
nodes = _records(
    "nodes",
    # node, embedded
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("address", Text),
    # The verifier key of an embedded verifier.
    Column("key_id", key_text),
    # The companies and permissions its copy is limited to; None is no limit.
    Column("limits", JSONText),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    # The latest time its lease may have been renewed, and the length of the lease.
    Column("vouched_at", BigInteger, nullable=False),
    Column("staleness_ms", BigInteger, nullable=False),
    # The latest revision it has acknowledged.
    Column("revision", BigInteger, nullable=False),
    # All of its decisions before this time are counted in the registry; None if it never said so.
    Column("use_reported_at", BigInteger),
)

#: Deactivation receipts: the record revoked at a revision, and when each verifier that could have
#: answered "allowed" was known to refuse it.
receipts = _table(
    "receipts",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("subject_id", key_text, primary_key=True),
    Column("subject_kind", Text, nullable=False),
    Column("subject_name", Text, nullable=False),
    Column("company_id", key_text),
    Column("at", BigInteger, nullable=False),
    # When it was first seen committed; never before the commit.
    Column("committed_at", BigInteger),
    Column("completed_at", BigInteger),
    Index(None, "subject_id", "revision"),
    Index(None, "completed_at"),
)

#: The verifiers that could have answered "allowed" then, and when each acknowledged the revision.
receipt_confirmations = _table(
    "receipt_confirmations",
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("node_id", key_text, primary_key=True),
    Column("node_name", Text, nullable=False),
    Column("node_kind", Text, nullable=False),
    # The length of its lease.
    Column("staleness_ms", BigInteger, nullable=False),
    Column("confirmed_at", BigInteger),
    Index(None, "node_id", "confirmed_at"),
)

# --- companies and users -----------------------------------------------------------------------

companies = _records(
    "companies",
    Column("name", Text, nullable=False),
    Column("name_folded", key_text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    *_deactivation(),
    Column("second_factor_required", Boolean, nullable=False, default=False),
    # Until when (Unix ms) the trial entries apply instead of the settled ones.
    Column("allowlist_trial_until", BigInteger),
    # The id that the platform knows it by, compared exactly.
    Column("external_id", key_text),
    # Until when verifiers may have allowed calls that were deleted with an hour of them unreported.
    Column("unreported_until", BigInteger),
    Index(None, "created_at", "id"),
    Index(None, "external_id", "created_at", "id"),
    # An external id belongs to one active company; deactivated companies keep theirs, too.
    Index(
        "ix_companies_active_external_id",
        "external_id",
        unique=True,
        **_where("deactivated_at IS NULL"),
    ),
)

roles = _records(
    "roles",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("name_folded", key_text, nullable=False),
    Column("permissions", JSONText, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("company_id", "name_folded"),
)

users = _records(
    "users",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("email", Text, nullable=False),
    Column("email_folded", key_text, nullable=False),
    Column("name", Text, nullable=False),
    # The name and the address as displayed, for searches without case.
    Column("name_searched", key_text, nullable=False),
    Column("email_searched", key_text, nullable=False),
    # The id of a built-in role or of a role of this company. Built-in roles have no row, so this
    # isn't a foreign key.
    Column("role", key_text, nullable=False),
    Column("operator", Boolean, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    *_deactivation(),
    Column("last_sign_in_at", BigInteger),
    # The second factor's secret, encrypted with the installation's key; None is no second factor.
    Column("totp_sealed", LargeBinary),
    # The time step of the last code used: no code is accepted twice.
    Column("totp_last_step", BigInteger),
    Index(None, "company_id", "created_at", "id"),
    Index("ix_users_active", "company_id", "created_at", "id", **_where("deactivated_at IS NULL")),
    Index(
        "ix_users_deactivated",
        *("company_id", "created_at", "id"),
        **_where("deactivated_at IS NOT NULL"),
    ),
    Index(None, "email_folded"),
    # An address belongs to one active user; deactivated users keep theirs, too.
    Index(
        "ix_users_active_email_folded",
        "email_folded",
        unique=True,
        **_where("deactivated_at IS NULL"),
    ),
)

user_name_words, user_name_word_parts = _word_index("user_name")
user_email_words, user_email_word_parts = _word_index("user_email")

#: Service accounts and external owners: they own access tokens, as users do, and never sign in.
owners = _records(
    "owners",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    # service_account, external
    Column("type", Text, nullable=False),
    # The id that it has in another product. Compared exactly.
    Column("external_id", key_text),
    Column("name", Text, nullable=False),
    # The name for searches without case.
    Column("name_searched", key_text, nullable=False),
    # As a user's.
    Column("role", key_text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    *_deactivation(),
    *(
        Index(f"ix_owners_{status}", "company_id", "type", "created_at", "id", **_where(condition))
        for status, condition in (
            ("active", "deactivated_at IS NULL"),
            ("deactivated", "deactivated_at IS NOT NULL"),
        )
    ),
    # An external id belongs to one active owner; deactivated ones keep theirs, too.
    Index(None, "company_id", "external_id", "created_at", "id"),
    Index(
        "ix_owners_active_external_id",
        *("company_id", "external_id"),
        unique=True,
        **_where("deactivated_at IS NULL"),
    ),
    # The roles in use.
    Index(None, "company_id", "type", "role", "deactivated_at"),
)

owner_name_words, owner_name_word_parts = _word_index("owner_name")

recovery_codes = _table(
    "recovery_codes",
    Column("user_id", key_text, ForeignKey("users.id"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("used_at", BigInteger),
)


def _entries(name: str) -> Table:
    return _table(
        name,
        Column("company_id", key_text, ForeignKey("companies.id"), primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("network", Text, nullable=False),
        Column("note", Text, nullable=False),
    )


allowlist_entries = _entries("allowlist_entries")
#: The list that applies instead during a trial.
allowlist_trial_entries = _entries("allowlist_trial_entries")

# --- links in mail -----------------------------------------------------------------------------

# A link is created when its mail is sent. Only the mail holds its secret; the digest stored here
# can't be used. Before that, and after the link has been replaced, ``link_id`` is None.

invitations = _records(
    "invitations",
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
    *_deactivation(),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "email_folded"),
)

password_resets = _records(
    "password_resets",
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("link_id", key_text, unique=True),
    Column("link_digest", LargeBinary),
    Column("used_at", BigInteger),
    # The client address as failed sign-ins are counted: an IPv6 address by its /64.
    Column("used_from", key_text),
    *_deactivation(),
    Index(None, "user_id", "created_at"),
    Index(None, "user_id", "used_from", "used_at"),
)

#: Changes of users' e-mail addresses, pending until the link mailed to the new address is used.
email_changes = _records(
    "email_changes",
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
    *_deactivation(),
    Index(None, "user_id", "created_at"),
)

#: The mail queue, without texts: they are written, with their links, when the mail is sent.
outgoing_mail = _records(
    "outgoing_mail",
    Column("kind", Text, nullable=False),
    Column("subject_id", key_text, nullable=False),
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("recipient", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # waiting, sending, handed over (outcome unknown), delivered, given up, dropped
    Column("state", Text, nullable=False),
    # The next attempt; while it is being sent, when the sending process counts as dead.
    Column("due_at", BigInteger, nullable=False),
    # From then on it isn't sent.
    Column("expires_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("trouble", Text),
    Column("delivered_at", BigInteger),
    Index(None, "state", "due_at"),
    Index(None, "subject_id", "created_at"),
)

# --- credentials -------------------------------------------------------------------------------

authentications = _records(
    "authentications",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("address", Text),
    # The client address as failed sign-ins are counted: an IPv6 address by its /64.
    Column("source", key_text),
    Column("user_agent", Text),
    # Of a sign-in by the OIDC provider: its session, and whether it checked a second factor there.
    Column("provider_session", key_text),
    Column("provider_second_factor", Boolean),
    *_deactivation(),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "user_id", "created_at", "id"),
    # A user has few valid authentications, however many there were.
    Index(None, "user_id", "expires_at"),
    # Whether the user signed in from an address recently.
    Index(None, "user_id", "source", "created_at"),
    Index(None, "provider_session"),
)

#: Links of users to their identity at an OIDC provider: the issuer and the subject there.
identities = _table(
    "identities",
    Column("issuer", key_text, primary_key=True),
    Column("subject", key_text, primary_key=True),
    Column("user_id", key_text, ForeignKey("users.id"), nullable=False, unique=True),
    Column("linked_at", BigInteger, nullable=False),
    # The last logout that the provider announced: a sign-in that began before it is refused.
    Column("logged_out_at", BigInteger),
)

#: What a provider may use once: identifiers of logout tokens, states of sign-ins. Digests.
used_once = _table(
    "used_once",
    Column("digest", LargeBinary, primary_key=True),
    Column("expires_at", BigInteger, nullable=False),
    Index(None, "expires_at"),
)

access_tokens = _records(
    "access_tokens",
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
    # The id of a user or of one of ``owners``; so it isn't a foreign key.
    Column("owner_id", key_text, nullable=False),
    # The user who created it. None for others, whose name is then in the next column.
    Column("created_by", key_text, ForeignKey("users.id")),
    Column("created_by_name", Text),
    *_deactivation(),
    # What other programs note of the token, keys sorted; and the id that one of them knows it by,
    # compared exactly.
    Column("metadata", JSONText, nullable=False, server_default="{}"),
    Column("external_id", key_text),
    # The form that created the token: submitting it again doesn't create a second one.
    Column("form_id", key_text),
    UniqueConstraint("created_by", "form_id"),
    # The expiry, once a round of ``tokens.lapsing`` has found it past. Between two rounds, lists
    # also read the tokens that are due.
    Column("lapsed_at", BigInteger),
    # The ids of the token that this one replaces, and of the one that replaces it.
    Column("replaces", key_text),
    Column("replaced_by", key_text),
    # When it was replaced, and how it closes: now, after, when_silent; self if it rotated itself.
    Column("rotated_at", BigInteger),
    Column("rotation_close", Text),
    Column("silent_for_ms", BigInteger),
    # When a verifier may last have allowed it that was deleted before it reported its use.
    Column("perhaps_used_at", BigInteger),
    # The last rehearsal of its deactivation, until a round has noted its end; the calls that
    # earlier ones refused.
    Column("rehearsal_start", BigInteger),
    Column("rehearsal_until", BigInteger),
    Column("rehearsal_share", BigInteger),
    Column("rehearsal_refused_before", BigInteger),
    # The id of the first token of those that have rotated themselves since.
    Column("family_id", key_text),
    # Of an imported key: what its text begins with.
    Column("imported_prefix", key_text),
    # After how many days without use it is deactivated, and when that was set.
    Column("unused_days", BigInteger),
    Column("unused_set_at", BigInteger),
    # Since when it waits for a second person's approval; the ids of those who added permissions
    # to it meanwhile; when the people who can approve it were asked to.
    Column("pending_since", BigInteger),
    Column("extended_by", JSONText),
    Column("approval_asked_at", BigInteger),
    # The approval, its own or that of the token it replaces.
    Column("approved_at", BigInteger),
    Column("approved_by", key_text),
    Column("approved_by_name", Text),
    # When a round of ``membership.expiry_warnings`` looks at it next; 0 is at once, None never. And
    # the last warning: when, and of which end (expiry, unused). The time alone is set by a change
    # of the expiry.
    Column("warn_at", BigInteger, server_default="0"),
    Column("warned_at", BigInteger),
    Column("warned_of", Text),
    # Permission, end and access request of each exception; and the first end that no round of
    # ``tokens.exceptions`` has noted.
    Column("exceptions", JSONText),
    Column("exceptions_end_at", BigInteger),
    # Lists of all tokens, of an owner's and a creator's, by label and by expiry, one index for each
    # status. The first also cover the labels, which a search may walk.
    *(
        Index(f"ix_access_tokens_{of}{status}", *columns, **_where(condition))
        for status, condition in (
            ("active", "deactivated_at IS NULL AND lapsed_at IS NULL"),
            ("expired", "deactivated_at IS NULL AND lapsed_at IS NOT NULL"),
            ("deactivated", "deactivated_at IS NOT NULL"),
        )
        for of, columns in (
            ("", ("company_id", "kind", "created_at", "id", "expires_at", "label_folded")),
            ("owner_", ("owner_id", "created_at", "id", "kind", "expires_at")),
            ("maker_", ("created_by", "created_at", "id", "kind", "expires_at")),
            ("label_", ("company_id", "label_folded", "created_at", "id", "kind", "expires_at")),
            ("expiry_", ("company_id", "expires_at", "created_at", "id", "kind")),
        )
    ),
    # Lists of the tokens without networks, and of those with some. A token is in one of these.
    *(
        Index(
            f"ix_access_tokens_{networks}_{status}",
            *("company_id", "created_at", "id", "kind", "expires_at"),
            **_where(f"networks {operator} '[]' AND {condition}"),
        )
        for networks, operator in (("open", "="), ("limited", "!="))
        for status, condition in (
            ("active", "deactivated_at IS NULL AND lapsed_at IS NULL"),
            ("expired", "deactivated_at IS NULL AND lapsed_at IS NOT NULL"),
            ("deactivated", "deactivated_at IS NOT NULL"),
        )
    ),
    Index(
        "ix_access_tokens_due",
        *("expires_at", "company_id", "kind", "created_at", "id"),
        **_where("deactivated_at IS NULL AND lapsed_at IS NULL AND expires_at IS NOT NULL"),
    ),
    # By a clock that was wrong, a token may have lapsed too early. Both indexes cover what a list
    # reads: otherwise PostgreSQL would rather read all of another one.
    Index(
        "ix_access_tokens_lapsed",
        *("lapsed_at", "company_id", "kind", "created_at", "id"),
        **_where("deactivated_at IS NULL AND lapsed_at IS NOT NULL"),
    ),
    Index(
        "ix_access_tokens_closing",
        "expires_at",
        **_where("rotation_close = 'when_silent' AND deactivated_at IS NULL"),
    ),
    Index(
        "ix_access_tokens_rehearsed",
        "rehearsal_until",
        **_where("rehearsal_until IS NOT NULL"),
    ),
    Index(
        "ix_access_tokens_family",
        *("family_id", "created_at"),
        **_where("family_id IS NOT NULL"),
    ),
    Index(
        "ix_access_tokens_pending",
        *("pending_since", "company_id", "id"),
        **_where("pending_since IS NOT NULL AND deactivated_at IS NULL"),
    ),
    Index(
        "ix_access_tokens_unused",
        *("unused_set_at", "id"),
        **_where("unused_days IS NOT NULL AND deactivated_at IS NULL"),
    ),
    Index(
        "ix_access_tokens_to_warn",
        "warn_at",
        **_where("warn_at IS NOT NULL AND deactivated_at IS NULL"),
    ),
    Index(
        "ix_access_tokens_warned",
        *("company_id", "warned_at", "owner_id"),
        **_where("warned_of IS NOT NULL"),
    ),
    Index(
        "ix_access_tokens_excepted",
        "exceptions_end_at",
        **_where("exceptions_end_at IS NOT NULL"),
    ),
    # The command line lists all companies' tokens.
    Index(None, "created_at", "id"),
    # Ids are searched by their beginning.
    Index(None, "company_id", "id"),
    # An external id belongs to one active token; others keep theirs, too.
    Index(
        "ix_access_tokens_external_id",
        *("company_id", "external_id", "created_at", "id"),
        **_where("external_id IS NOT NULL"),
    ),
    Index(
        "ix_access_tokens_active_external_id",
        *("company_id", "external_id"),
        unique=True,
        **_where("external_id IS NOT NULL AND deactivated_at IS NULL AND lapsed_at IS NULL"),
    ),
)

#: When each token was last used, in the order of lists. Derived from ``token_use`` and the token.
access_token_recency = _records(
    "access_token_recency",
    Column("company_id", key_text, nullable=False),
    # active, expired (once it is recorded in ``lapsed_at``), deactivated
    Column("life", key_text, nullable=False),
    # 0 is never.
    Column("last_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Index(None, "company_id", "life", "last_at", "created_at", "id"),
)

#: Requests of access tokens for a permission that they lack.
access_requests = _records(
    "access_requests",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("token_id", key_text, ForeignKey("access_tokens.id"), nullable=False),
    Column("permission", key_text, nullable=False),
    # The id of the refusal, as the token's holder named it.
    Column("decision", key_text),
    Column("justification", Text),
    Column("created_at", BigInteger, nullable=False),
    # From then on it can't be answered.
    Column("expires_at", BigInteger, nullable=False),
    # approved, denied; None while nobody has answered
    Column("outcome", Text),
    Column("decided_at", BigInteger),
    Column("decided_by", key_text),
    Column("decided_by_name", Text),
    # When its exception ends or ended. None if it was denied, or approved for good.
    Column("until", BigInteger),
    Index(None, "company_id", "created_at", "id"),
    Index(None, "token_id", "created_at", "id"),
)

#: What companies require of their access tokens (``core.token_policy``). Without a row, nothing.
token_policies = _table(
    "token_policies",
    Column("company_id", key_text, ForeignKey("companies.id"), primary_key=True),
    Column("longest_life_days", BigInteger),
    Column("networks_required", Boolean, nullable=False),
    Column("unused_days", BigInteger),
    Column("approval_required", JSONText, nullable=False),
    Column("warn_days", JSONText, nullable=False),
    # The warning days by which the company's tokens have their ``warn_at``.
    Column("warnings_by", JSONText),
)

access_token_words, access_token_word_parts = _word_index("access_token")
access_token_permissions = _postings(
    "access_token_permissions", Column("permission", key_text, primary_key=True)
)
# A key and its value, as ``key:value``.
access_token_metadata = _postings(
    "access_token_metadata", Column("entry", key_text, primary_key=True)
)

verifier_keys = _records(
    "verifier_keys",
    Column("digest", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    *_deactivation(),
    # The ids of the companies it is limited to; None is no limit.
    Column("companies", JSONText),
    Index(None, "created_at", "id"),
)

#: The installation's catalogue, and all that it was before. The highest number counts.
catalogue_versions = _table(
    "catalogue_versions",
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    # SHA-256 of the text, in hexadecimal.
    Column("digest", key_text, nullable=False),
    # How many it adds to the control plane's.
    Column("permissions", Integer, nullable=False),
    Column("routes", Integer, nullable=False),
    # Whether it was the file of GATEPASS_CATALOGUE.
    Column("from_file", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    Index(None, "digest"),
)

admin_keys = _records(
    "admin_keys",
    Column("digest", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    # The company it is limited to; None is no limit.
    Column("company_id", key_text, ForeignKey("companies.id")),
    Column("permissions", JSONText, nullable=False),
    Column("networks", JSONText, nullable=False),
    Column("expires_at", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    *_deactivation(),
    Index(None, "created_at", "id"),
)

#: Portal sessions: an owner's access tokens, managed on a page of another product.
portal_sessions = _records(
    "portal_sessions",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("owner_id", key_text, ForeignKey("owners.id"), nullable=False),
    Column("origins", JSONText, nullable=False),
    Column("permissions", JSONText, nullable=False),
    # How long it lasts once its code was redeemed.
    Column("lifetime_ms", BigInteger, nullable=False),
    # Of the secret of its code.
    Column("code_digest", LargeBinary, nullable=False),
    # Of the secret of its token; None until the code was redeemed.
    Column("digest", LargeBinary),
    Column("redeemed_at", BigInteger),
    # The code's expiry, then the session's.
    Column("expires_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # The admin key or the operator; None for the command line.
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    *_deactivation(),
    # The live ones of an admin key.
    Index(None, "created_by", "expires_at"),
    Index(None, "expires_at"),
)

#: Answers to POSTs with an ``Idempotency-Key``, encrypted under the credential and the key.
idempotent_answers = _table(
    "idempotent_answers",
    Column("credential", key_text, primary_key=True),
    # SHA-256 of the key.
    Column("key_digest", LargeBinary, primary_key=True),
    # SHA-256 of the path.
    Column("path_digest", LargeBinary, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index(None, "at"),
)

# --- webhooks -----------------------------------------------------------------------------------

webhooks = _records(
    "webhooks",
    Column("company_id", key_text, ForeignKey("companies.id"), nullable=False),
    Column("url", Text, nullable=False),
    # Whether an operator chose the URL, which may then be in GATEPASS_WEBHOOK_NETWORKS.
    Column("by_operator", Boolean, nullable=False),
    # Names of events, and wildcards such as user.*
    Column("events", JSONText, nullable=False),
    # Encrypted with the installation's key. The former secret signs, too, until former_until.
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("former_sealed", LargeBinary),
    Column("former_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", key_text),
    Column("created_by_name", Text, nullable=False),
    Column("paused_at", BigInteger),
    # requested, failing, gone, restored
    Column("paused_because", Text),
    # Whether it was resumed, and what failed before isn't due again yet.
    Column("resuming", Boolean, nullable=False),
    Index(None, "company_id", "created_at", "id"),
)

#: Events on their way to a webhook. No foreign key: an event that is written while its webhook is
#: deleted must not fail the change that it tells of; it is deleted with its time.
webhook_deliveries = _table(
    "webhook_deliveries",
    # In the order in which a webhook is told of a subject's events.
    Column("number", row_number, primary_key=True),
    Column("id", key_text, nullable=False, unique=True),
    Column("webhook_id", key_text, nullable=False),
    # The same for each webhook and each attempt.
    Column("event_id", key_text, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject_id", key_text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # The next attempt; during an attempt, the end of the claim's lease.
    Column("due_at", BigInteger, nullable=False),
    # Of all time: the number identifies the claim.
    Column("attempts", Integer, nullable=False),
    # Since its last resumption: how many failed, and since when.
    Column("failures", Integer, nullable=False),
    Column("failing_since", BigInteger),
    # Of the last attempt: its end, its duration, the status of the answer or why there is none.
    Column("last_at", BigInteger),
    Column("took_ms", Integer),
    Column("status", Integer),
    Column("trouble", Text),
    Column("delivered_at", BigInteger),
    Index(None, "webhook_id", "number"),
    Index(None, "created_at"),
    Index(
        "ix_webhook_deliveries_due",
        *("webhook_id", "due_at", "number"),
        **_where("delivered_at IS NULL"),
    ),
    Index(
        "ix_webhook_deliveries_waiting",
        *("webhook_id", "subject_id", "number"),
        **_where("delivered_at IS NULL"),
    ),
)

# --- audit log, failed sign-ins ----------------------------------------------------------------

audit_events = _table(
    "audit_events",
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

sign_in_failures = _table(
    "sign_in_failures",
    Column("number", row_number, primary_key=True),
    Column("key", key_text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Index(None, "key", "at"),
    Index(None, "at"),
)

# --- usage -------------------------------------------------------------------------------------

token_use = _table(
    "token_use",
    Column("token_id", key_text, primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    Column("last_address", Text),
    Column("last_permission", Text),
    Column("total", BigInteger, nullable=False),
)

token_use_days = _table(
    "token_use_days",
    Column("token_id", key_text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("uses", BigInteger, nullable=False),
    Index(None, "day"),
)

token_use_addresses = _table(
    "token_use_addresses",
    Column("token_id", key_text, primary_key=True),
    Column("address", key_text, primary_key=True),
    Column("last_at", BigInteger, nullable=False),
    Column("uses", BigInteger, nullable=False),
)

#: Calls of an access token in one hour, in hours since 1970.
token_call_hours = _table(
    "token_call_hours",
    # First, so that garbage collection finds the oldest, and a fold writes in one place.
    Column("hour", Integer, primary_key=True, autoincrement=False),
    Column("token_id", key_text, primary_key=True),
    Column("allowed", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

#: Equal calls of an access token on one day.
observed_calls = _table(
    "observed_calls",
    Column("token_id", key_text, primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    # What tells it from the token's others: a digest of them; or allowed, refused: all those over a
    # bound, which have none of the next columns.
    Column("call", key_text, primary_key=True),
    Column("allowed", Boolean, nullable=False),
    Column("reason", key_text),
    # The one asked for by name, else the route's.
    Column("permission", key_text),
    # The route's, if another one was asked for by name.
    Column("second_permission", key_text),
    Column("route", key_text),
    Column("method", key_text),
    Column("address", key_text),
    Column("origin", key_text),
    # The id of the refusal.
    Column("decision", key_text),
    Column("uses", BigInteger, nullable=False),
    Column("first_at", BigInteger, nullable=False),
    # Not indexed: each fold changes it. A token has few rows.
    Column("last_at", BigInteger, nullable=False),
    Index(None, "day"),
    Index("ix_observed_calls_decision", "decision", **_where("decision IS NOT NULL")),
    sqlite_with_rowid=False,
)

#: How many bytes of each spool file have been counted; updated in the transaction that counts.
usage_spools = _table(
    "usage_spools",
    Column("name", key_text, primary_key=True),
    Column("folded_to", BigInteger, nullable=False),
)

decision_counts = _table(
    "decision_counts",
    Column("reason", key_text, primary_key=True),
    Column("total", BigInteger, nullable=False),
)
