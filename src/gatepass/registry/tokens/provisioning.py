"""Access tokens of any company, for platforms and operators: create, modify, deactivate.

They create and modify those of service accounts and external owners: a user's own are theirs.
"""

from collections.abc import Collection, Mapping

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import Forbidden, InvalidInput, NotFound
from gatepass.core.grants import DECOY, USER
from gatepass.registry.actor import Actor
from gatepass.registry.directory import companies
from gatepass.registry.directory.owner_roles import fits_owners, require_open
from gatepass.registry.grants.authorization import acting
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens import store, token_owners
from gatepass.registry.tokens.records import AccessToken


def create(
    change: Change,
    actor: Actor,
    company: str,
    *,
    catalogue: Catalogue,
    owner: str,
    kind: str,
    values: Mapping[str, object],
) -> tuple[AccessToken, str]:
    """Create a token and return it with its text, which can't be read again.

    Args:
        company: its id, or ``ext:`` and its external id.
        owner: a service account or external owner of the company, likewise.
        values: ``label`` and ``permissions``; others of ``input.CHANGEABLE`` may be absent.

    Raises:
        Forbidden: as ``acting`` says for the area ``tokens``; ``permission_missing``: the owner's
            role doesn't grant one of the permissions.
        NotFound: there is no such company or owner, the owner is a user, or the admin key is
            limited to another company.
        InvalidInput: with all errors of the fields.
        Conflict: ``company_deactivated``, ``owner_deactivated``, ``external_id_taken``.
    """
    actor = acting(change, actor, area="tokens")
    if kind == DECOY:
        raise InvalidInput([("kind", 'Must be "api" or "ui".')])
    its = companies.find_active(change, actor, company).id
    new_owner = token_owners.of_company(change, its, owner)
    found = fields.read(
        {**fields.DEFAULTS, **values},
        kind=kind,
        catalogue=catalogue,
        owner_type=new_owner.owner.type,
        now=change.now,
    )
    require_open(found["permissions"])
    new_owner.require_granted(found["permissions"])
    return store.add(change, actor, its, new_owner, found, kind=kind)


def modify(
    change: Change,
    actor: Actor,
    company: str,
    token_id: str,
    *,
    catalogue: Catalogue,
    changes: Mapping[str, object],
    if_match: Collection[str] | None = None,
) -> AccessToken:
    """Change the fields in *changes*, as ``access_tokens.modify`` does.

    Args:
        company: its id, or ``ext:`` and its external id.
        if_match: the ETags of versions that may be changed; None is any.

    Raises:
        Forbidden: as ``acting`` says for the area ``tokens``; ``permission_missing``: the owner's
            role doesn't grant a permission that it gets, or people of the company gave it one that
            is closed to owners (``require_open``).
        NotFound: there is no such company, it has no such token, it is a user's, or the admin key
            is limited to another company.
        Conflict: ``company_deactivated``; as ``access_tokens.modify`` says.
        InvalidInput: with all errors of the fields.
    """
    actor = acting(change, actor, area="tokens")
    row = store.find(change, companies.find_active(change, actor, company).id, token_id)
    if row.owner_type == USER:
        raise NotFound("Only the users of the company can change a user's access token.")
    found = store.read_changes(change, row, changes, catalogue=catalogue, if_match=if_match)
    if not fits_owners(row.permissions):
        raise Forbidden("This token has permissions of Gatepass; here it can only be deactivated.")
    require_open(found.get("permissions", ()))
    return store.update(change, actor, row, found)


def deactivate(change: Change, actor: Actor, company: str, token_id: str) -> AccessToken:
    """Deactivate a token permanently, a user's too. Repeating it changes nothing.

    Args:
        company: its id, or ``ext:`` and its external id; it may itself be deactivated.

    Raises:
        Forbidden: as ``acting`` says for the area ``tokens``.
        NotFound: there is no such company, it has no such token, or the admin key is limited to
            another company.
    """
    actor = acting(change, actor, area="tokens")
    row = store.find(change, companies.find(change, actor, company).id, token_id)
    return store.end(change, actor, row)
