"""Credentials that somebody found where they shouldn't be, and reports by their texts.

The text is the proof, and the only one: those who have it could use it as well. So a report ends
the credential at once, and nothing is written for a text that is no valid credential.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

from sqlalchemy import select

from gatepass.core import imported_keys
from gatepass.core.credentials import (
    ACCESS_TOKEN,
    ADMIN_KEY,
    LOGIN_TOKEN,
    PORTAL_SESSION,
    VERIFIER_KEY,
    matches,
    parse,
)
from gatepass.core.grants import DECOY, Grant
from gatepass.core.imported_keys import IMPORTED_KEY
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.authentication import sessions
from gatepass.registry.directory import admin_keys, portal_sessions
from gatepass.registry.directory.users import owner_or_administrators
from gatepass.registry.grants.publishing import published_grants, published_prefixes
from gatepass.registry.membership import outbox
from gatepass.registry.storage.database import Change, Reading, Write
from gatepass.registry.storage.tables import access_tokens, companies, outgoing_mail, users
from gatepass.registry.storage.tables import admin_keys as admin_keys_table
from gatepass.registry.storage.tables import verifier_keys as verifier_keys_table
from gatepass.registry.tokens.store import revoke

#: The kind of the mail about a reported credential.
MAIL = "credential_reported"
#: How many credentials one report may have.
MOST = 1_000
#: A verifier key goes on working, so its report can be repeated; operators are told so often.
TOLD_AGAIN_MS = 24 * 3_600_000

_REPORTED = frozenset(
    (ACCESS_TOKEN, IMPORTED_KEY, LOGIN_TOKEN, PORTAL_SESSION, ADMIN_KEY, VERIFIER_KEY)
)
_OPERATORS = frozenset((ADMIN_KEY, VERIFIER_KEY))
_MAIL_EXPIRES_MS = 3 * 24 * 3_600_000
_MOST_RECIPIENTS = 50
_TABLES = {
    ACCESS_TOKEN: access_tokens,
    IMPORTED_KEY: access_tokens,
    ADMIN_KEY: admin_keys_table,
    VERIFIER_KEY: verifier_keys_table,
}


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mail about a reported credential.

    Attributes:
        id: of the credential.
        label: "" for a sign-in.
        company: the name of the reader's company.
        others: how many more of its kind in the same report concern the reader.
    """

    id: str
    label: str
    user_name: str
    company: str
    others: int = 0


def recognized(reading: Reading, texts: Iterable[str]) -> dict[str, Grant]:
    """The grants of the credentials among *texts*, by text; those whose secret is right.

    Decoys among them are told of, and never ended: a thief could silence one by reporting it.
    """
    prefixes = tuple(published_prefixes(reading))
    parsed = {
        text: found
        for text in texts
        if (found := parse(text) or imported_keys.parse(text, prefixes)) is not None
        and found.prefix in _REPORTED
    }
    ids = {each.id for each in parsed.values()}
    grants = {grant.id: grant for grant in published_grants(reading, ids)}
    return {
        text: grant
        for text, found in parsed.items()
        if (grant := grants.get(found.id)) is not None and matches(found, grant.digest)
    }


def end(change: Change, texts: Sequence[str], *, address: str | None) -> None:
    """End reported credentials, and enqueue mail to the people they concern.

    A verifier key is only reported to operators: calls would fail everywhere without it, so they
    replace it first.

    Args:
        address: of the reporter, for the audit log.
    """
    known = recognized(change, texts).values()
    live = [each for each in known if not each.ended and each.kind != DECOY]
    found = sorted(live, key=lambda grant: (grant.company, grant.id))
    actor = replace(Actor.system(), cause="reported", address=address)
    by_kind = {prefix: [each for each in found if each.id[:4] == prefix] for prefix in _REPORTED}
    of_owners = sorted(
        by_kind[ACCESS_TOKEN] + by_kind[IMPORTED_KEY], key=lambda grant: grant.company
    )
    for _, tokens in groupby(of_owners, key=lambda grant: grant.company):
        revoke(change, actor, [grant.id for grant in tokens])
    sessions.end_each(change, actor, [grant.id for grant in by_kind[LOGIN_TOKEN]])
    portal_sessions.end_each(change, actor, [grant.id for grant in by_kind[PORTAL_SESSION]])
    for grant in by_kind[ADMIN_KEY]:
        admin_keys.end(change, actor, grant.id)
    for grants in (of_owners, by_kind[LOGIN_TOKEN], by_kind[ADMIN_KEY]):
        _enqueue(change, grants)
    for grant in by_kind[VERIFIER_KEY]:
        if not _told_lately(change, grant.id):
            label = str(_label(change, grant.id))
            subject = Subject("verifier_key", grant.id, label)
            log.record(change, actor, "verifier_key.reported", subject, company=None)
            _enqueue(change, [grant])


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of a mail; None if its reader isn't an active user any more.

    Args:
        subject: the mail's: the ids of the credential and of the user; and the number of others, if
            there are any.
    """
    credential, user, *others = subject.split(":")
    row = reading.session.execute(
        select(users.c.name, companies.c.name.label("company"))
        .join(companies, companies.c.id == users.c.company_id)
        .where(users.c.id == user, users.c.deactivated_at.is_(None))
    ).one_or_none()
    if row is None:
        return None
    more = int(others[0]) if others else 0
    return Letter(credential, _label(reading, credential) or "", row.name, row.company, more)


def _label(reading: Reading, credential: str) -> str | None:
    table = _TABLES.get(credential[:4])
    if table is None:
        return None
    label: str | None = reading.session.execute(
        select(table.c.label).where(table.c.id == credential)
    ).scalar_one_or_none()
    return label


def _told_lately(reading: Reading, credential: str) -> bool:
    told = outgoing_mail.c
    found = select(told.id).where(
        told.subject_id.startswith(f"{credential}:", autoescape=True),
        told.created_at > reading.now - TOLD_AGAIN_MS,
    )
    return reading.session.execute(found.limit(1)).first() is not None


def _enqueue(write: Write, grants: Iterable[Grant]) -> None:
    """Enqueue a mail to each person that *grants*, all of one kind, concern.

    A thousand tokens of an external owner concern fifty administrators each.
    """
    recipients = lru_cache(maxsize=None)(partial(_recipients, write))
    concerned: dict[Any, list[str]] = {}
    for grant in grants:
        for person in recipients(grant.id[:4] in _OPERATORS, grant.company, grant.user):
            concerned.setdefault(tuple(person), []).append(grant.id)
    for (user, company, email), (first, *others) in concerned.items():
        outbox.enqueue(
            write,
            kind=MAIL,
            subject=f"{first}:{user}:{len(others)}" if others else f"{first}:{user}",
            company=company,
            recipient=email,
            expires_at=write.now + _MAIL_EXPIRES_MS,
        )


def _recipients(reading: Reading, of_operators: bool, company: str, user: str) -> Sequence[Any]:
    """Ids, companies and addresses of the people that a reported credential concerns.

    Its user; for a service account's or external owner's token the company's administrators; for a
    key the operators.

    Args:
        of_operators: whether it is a key.
        company, user: of its grant.
    """
    its = users.c
    active = select(its.id, its.company_id, its.email).where(its.deactivated_at.is_(None))
    if of_operators:
        wanted = active.where(its.operator.is_(True)).order_by(its.created_at)
        return reading.session.execute(wanted.limit(_MOST_RECIPIENTS)).all()
    return owner_or_administrators(reading, user, company, most=_MOST_RECIPIENTS)
