"""Sign-in with an OIDC provider: from verified claims to a login token.

A user is found by issuer and subject alone. An unknown identity becomes a new user if the provider
verified an address that no user has, and the claims name a company and a role.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import select

from gatepass.core.catalogue import ADMIN, Catalogue
from gatepass.core.credentials import LOGIN_TOKEN, make, new_id
from gatepass.core.errors import InvalidInput, SignInFailed
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import identities, sessions, totp_policy, used_once
from gatepass.registry.authentication.session_records import ProviderSession, begin
from gatepass.registry.authentication.sign_in import SignedIn, admits_user, record_refusal
from gatepass.registry.directory import portal_sessions, role_records, user_roles, users
from gatepass.registry.directory.user_privileges import is_last_administrator
from gatepass.registry.directory.users import User, user_of
from gatepass.registry.grants.publishing import admits, published_rules
from gatepass.registry.input.text import LONGEST_LABEL, folded, label_problem, storable
from gatepass.registry.storage.database import Change, Database, Reading
from gatepass.registry.storage.rows import update_row
from gatepass.registry.storage.tables import authentications, companies
from gatepass.registry.storage.tables import identities as identities_table
from gatepass.registry.storage.tables import users as users_table
from gatepass.registry.tokens.ending.of_owner import deactivate_all

#: Password hash of a user without a password: matches none.
NO_PASSWORD = ""
#: How long the ids of logout and revocation tokens are remembered; older ones are refused by age.
LOGOUT_KEPT_MS = 30 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Identified:
    """What the provider verified about a user.

    Attributes:
        issuer, subject: identify them.
        email: None unless the provider verified it.
        name: as the provider has it; "" if it has none.
        company: a company's name or id; None if the claims name none.
        roles: names or ids of roles, the preferred first. None leaves roles as they are.
        session: the provider's session, for its logout.
        second_factor: whether the provider says that it checked one.
        began_at: when the user set out for the provider (Unix ms).
    """

    issuer: str
    subject: str
    email: str | None
    name: str
    company: str | None
    roles: tuple[str, ...] | None
    session: str | None
    second_factor: bool
    began_at: int


class ProviderSignInFailed(SignInFailed):
    """A sign-in with the provider was refused. The message never says why; the log does.

    Attributes:
        why: one word for the log.
        user: the id of the user it would have been; None for an unknown one.
    """

    def __init__(self, why: str, user: str | None = None) -> None:
        super().__init__()
        self.message = (
            "You can't sign in here with this account. Ask an administrator of your company."
        )
        self.why = why
        self.user = user


def sign_in(
    database: Database,
    catalogue: Catalogue,
    who: Identified,
    *,
    address: str | None,
    user_agent: str | None,
    now: Callable[[], int],
    lifetime_ms: int,
) -> SignedIn:
    """Sign in, and apply the mapped role.

    Args:
        address: the request's source address, as text; None if it is unknown.
        now: returns the time in Unix ms; called for each transaction.
        lifetime_ms: of the login token.

    Raises:
        ProviderSignInFailed: any rule refuses it.
        Unavailable: the database can't be used.
    """
    try:
        with database.write(now()) as change:
            user = _user(change, catalogue, who, address)
            credential = make(LOGIN_TOKEN)
            record = begin(
                change,
                user,
                credential,
                lifetime_ms=lifetime_ms,
                address=address,
                user_agent=user_agent,
                provider=ProviderSession(who.session, who.second_factor),
            )
            update_row(change, users_table, user.id, last_sign_in_at=change.now)
    except ProviderSignInFailed as refused:
        if refused.user is not None:
            with database.auxiliary_write(now()) as write:
                record_refusal(write, users.get(write, refused.user), address)
        raise
    return SignedIn(record, credential.text, change.confirmed)


def log_out(
    change: Change, *, issuer: str, subject: str | None, session: str | None, token_id: str
) -> bool:
    """End all sign-ins of the user that a logout token of *issuer* names.

    All of them, also those with a password: a user who left must be out. An unknown user is no
    error: providers announce every logout.

    Args:
        token_id: of the token.

    Returns:
        Whether the token wasn't used before.
    """
    if not used_once.use(change, f"logout {issuer}", token_id, kept_ms=LOGOUT_KEPT_MS):
        return False
    user_id = _user_of_logout(change, issuer, subject, session)
    if user_id is not None:
        _end_sign_ins(change, user_id, "provider_logout")
    return True


def revoke_all(
    change: Change, *, issuer: str, subject: str | None, email: str | None, token_id: str
) -> bool | None:
    """End all sign-ins of a user and deactivate all of their access tokens, as the provider asks.

    A global token revocation (draft-parecki-oauth-global-token-revocation). The tokens of service
    accounts stay, as they do when a user is deactivated.

    Args:
        issuer: of the token that authenticates the request.
        subject, email: the user, one of them. An address names only a user who is linked to an
            account of *issuer*.
        token_id: of that token.

    Returns:
        Whether there is such a user; None if the token was used before.
    """
    if not used_once.use(change, f"revocation {issuer}", token_id, kept_ms=LOGOUT_KEPT_MS):
        return None
    user_id = None
    if not storable(subject or email or ""):
        return False
    if subject is not None:
        user_id = _user_of_logout(change, issuer, subject, None)
    elif email is not None:
        user = users.by_email(change, email)
        identity = None if user is None else identities.of_user(change, user.id)
        if user is not None and identity is not None and identity.issuer == issuer:
            user_id = user.id
    if user_id is None:
        return False
    actor = Actor.system()
    portal_sessions.end_opened_by(change, actor, user_id)
    ended = deactivate_all(change, actor, user_id)
    _end_sign_ins(change, user_id, "provider_revocation", access_tokens_ended=ended)
    return True


def _end_sign_ins(change: Change, user_id: str, action: str, **more: int) -> None:
    identities.note_logout(change, user_id)
    actor = Actor.system()
    ended = sessions.end_of_user(change, actor, user_id)
    after = {"authentications_ended": ended, **more}
    users.record(change, actor, action, users.get(change, user_id), after=after)


def _user_of_logout(
    reading: Reading, issuer: str, subject: str | None, session: str | None
) -> str | None:
    if subject is not None:
        found = identities.find(reading, issuer, subject)
        return None if found is None else str(found.user_id)
    of_session = (
        select(identities_table.c.user_id)
        .join(authentications, authentications.c.user_id == identities_table.c.user_id)
        .where(authentications.c.provider_session == session, identities_table.c.issuer == issuer)
        .limit(1)
    )
    user_id: str | None = reading.session.execute(of_session).scalar_one_or_none()
    return user_id


def _user(change: Change, catalogue: Catalogue, who: Identified, address: str | None) -> User:
    found = identities.find(change, who.issuer, who.subject)
    if found is None:
        return _new_user(change, catalogue, who, address)
    user_id = str(found.user_id)
    row = change.session.execute(select(users_table).where(users_table.c.id == user_id)).one()
    if row.deactivated_at is not None:
        raise ProviderSignInFailed("user_deactivated", user_id)
    if found.logged_out_at is not None and who.began_at <= found.logged_out_at:
        raise ProviderSignInFailed("logged_out", user_id)
    company = str(row.company_id)
    if _company(change, who) != company:
        raise ProviderSignInFailed("other_company", user_id)
    if not admits_user(change, row, address):
        raise ProviderSignInFailed("address_or_company", user_id)
    _require_second_factor(change, who, company, user_id)
    user = user_of(row)
    if who.roles is None:
        return user
    role = _mapped_role(change, catalogue, company, who.roles)
    if role is None:
        raise ProviderSignInFailed("no_role", user_id)
    if role == user.role or (role != ADMIN.id and is_last_administrator(change, user)):
        return user
    actor = _provider(address)
    return user_roles.assign(change, actor, user, role)


def _new_user(change: Change, catalogue: Catalogue, who: Identified, address: str | None) -> User:
    if who.email is None:
        raise ProviderSignInFailed("email_not_verified")
    present = users.latest_row(change, who.email)
    if present is not None:
        # Also a deactivated user's: the provider must not undo what an administrator did.
        ended = present.deactivated_at is not None
        raise ProviderSignInFailed("user_deactivated" if ended else "email_taken", present.id)
    company = _company(change, who)
    if company is None:
        raise ProviderSignInFailed("no_company")
    role = _mapped_role(change, catalogue, company, who.roles or ())
    if role is None:
        raise ProviderSignInFailed("no_role")
    if not admits(change, published_rules(change, company), address):
        raise ProviderSignInFailed("address_or_company")
    _require_second_factor(change, who, company, None)
    actor = _provider(address)
    try:
        user = users.add(
            change,
            actor,
            company=company,
            email=who.email,
            name=_name(who),
            role=role,
            password_hash=NO_PASSWORD,
            user_id=new_id("usr"),
        )
    except InvalidInput:
        raise ProviderSignInFailed("email_invalid") from None
    identities.add(change, actor, user, issuer=who.issuer, subject=who.subject)
    return user


def _company(reading: Reading, who: Identified) -> str | None:
    """The id of the active company that the claims name, by its name or id."""
    if who.company is None:
        return None
    table = companies.c
    named = (table.id == who.company) | (table.name_folded == folded(who.company))
    found: str | None = reading.session.execute(
        select(table.id)
        .where(named, table.deactivated_at.is_(None))
        # A company may be named like another one's id.
        .order_by((table.id == who.company).desc())
        .limit(1)
    ).scalar_one_or_none()
    return found


def _mapped_role(
    reading: Reading, catalogue: Catalogue, company: str, wanted: tuple[str, ...]
) -> str | None:
    """The id of the first role in *wanted* that the company has."""
    roles = role_records.of_company(reading, catalogue, company)
    ids = {folded(role.name): role.id for role in roles.values()} | {one: one for one in roles}
    return next((ids[key] for one in wanted for key in (one, folded(one)) if key in ids), None)


def _require_second_factor(
    reading: Reading, who: Identified, company: str, user_id: str | None
) -> None:
    """Refuse a sign-in without a second factor where the company requires one.

    Neither our own code nor our set-up page could stand in for it: a user without a password can't
    re-authenticate there.
    """
    if totp_policy.required(reading, company) and not who.second_factor:
        raise ProviderSignInFailed("second_factor_missing", user_id)


def _provider(address: str | None) -> Actor:
    # The provider's word makes the change, and the user isn't signed in yet.
    return replace(Actor.system(), address=address)


def _name(who: Identified) -> str:
    """The provider's name for the user, or the first part of the address."""
    given = " ".join(who.name.split())[:LONGEST_LABEL].rstrip()
    return given if label_problem(given) is None else (who.email or "").rpartition("@")[0]
