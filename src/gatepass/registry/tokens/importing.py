"""Importing keys of another system as access tokens: all of a list, or none.

Of a key only the SHA-256 of its text is known (``core.imported_keys``). It is verified as it is
until it ends; the token that replaces it is an ordinary one. A company's prefix is its own for
good, and so is each key: one that was deactivated can't be imported again.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select

from gatepass.core import imported_keys
from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import USER
from gatepass.registry.actor import Actor, Subject
from gatepass.registry.audit import log
from gatepass.registry.directory import users
from gatepass.registry.grants.authorization import acting
from gatepass.registry.grants.publishing import (
    publish,
    publish_grants,
    published_holder,
    published_prefixes,
    published_roles,
)
from gatepass.registry.input.text import folded, storable
from gatepass.registry.storage.database import Change, Reading
from gatepass.registry.storage.tables import access_tokens
from gatepass.registry.tokens import input as fields
from gatepass.registry.tokens import token_owners
from gatepass.registry.tokens.calls import recency
from gatepass.registry.tokens.lists import indexing
from gatepass.registry.tokens.records import TokenOwner, grant_of
from gatepass.registry.tokens.token_owners import NewOwner

#: The most keys of one import. All changes wait for it.
MOST_KEYS = 100_000

_REQUIRED = ("sha256", "prefix", "label", "permissions")
_OPTIONAL = ("owner", "expires_at", "networks", "domains")
_READ_BY_FIELDS = ("label", "permissions", "expires_at", "networks", "domains")
# Between two statements no more is computed than PostgreSQL's idle timeout allows.
_AT_ONCE = 500
_sha256 = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII).fullmatch

#: A line of the list: its number, and its fields by name. ``expires_at`` is in Unix ms.
Line = tuple[int, Mapping[str, object]]
_Errors = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the list, valid by itself.

    Attributes:
        found: its fields, as ``input.read`` returns them.
    """

    line: int
    id: str
    digest: bytes
    prefix: str
    kind: str
    owner: TokenOwner
    found: Mapping[str, Any]


def import_keys(
    change: Change,
    actor: Actor,
    company: str,
    lines: Sequence[Line],
    *,
    catalogue: Catalogue,
    ended: Collection[str] = (),
) -> int:
    """Import the keys of a list; returns their number. Policies don't bind them: they exist.

    Args:
        company: the id of an active company.
        ended: ids of keys that were deactivated, also those that the database lost since.

    Raises:
        Forbidden: ``operator_required``.
        InvalidInput: with the first errors, at fields such as ``line 3: sha256``. Then nothing is
            imported.
    """
    actor = acting(change, actor, operator=True)
    if not 1 <= len(lines) <= MOST_KEYS:
        raise InvalidInput([("file", f"Must have 1 to {MOST_KEYS:,} keys.")])
    reader = _Reader(change, company, catalogue, ended)
    keys: list[_Key] = []
    for some in _portions(lines):
        read = [key for number, given in some if (key := reader.read(number, given)) is not None]
        reader.require_new(read)
        keys += read
    if reader.errors:
        raise InvalidInput(reader.errors)
    for prefix in sorted({key.prefix for key in keys} - reader.declared.keys()):
        publish(change, imported_keys.declaration(prefix, company))
    for portion in _portions(keys):
        _add(change, actor, company, portion)
    return len(keys)


class _Reader:
    """Reads lines, and collects what is wrong with them.

    Attributes:
        declared: the company that each known prefix belongs to.
        errors: by ``line N: field``.
    """

    def __init__(
        self, reading: Reading, company: str, catalogue: Catalogue, ended: Collection[str]
    ) -> None:
        self._reading = reading
        self._company = company
        self._catalogue = catalogue
        self._ended = ended
        self._owners: dict[str | None, NewOwner] = {}
        self._lines: dict[str, int] = {}
        self.declared = published_prefixes(reading)
        self.errors: _Errors = []

    def read(self, line: int, given: Mapping[str, object]) -> _Key | None:
        """The key of a line; None if anything is wrong with it."""
        # An optional field that is null is absent.
        given = {
            name: value
            for name, value in given.items()
            if value is not None or name not in _OPTIONAL
        }
        errors: _Errors = [(name, "Must be given.") for name in _REQUIRED if name not in given] + [
            ("fields", f"Must be among {', '.join((*_REQUIRED, *_OPTIONAL))}.")
            for _ in given.keys() - {*_REQUIRED, *_OPTIONAL}
        ][:1]
        digest = given.get("sha256", "")
        if not isinstance(digest, str) or ("sha256" in given and not _sha256(digest)):
            errors.append(("sha256", "Must be 64 hexadecimal digits."))
        prefix = given.get("prefix")
        problem = self._prefix_problem(prefix) if "prefix" in given else None
        if problem is not None:
            errors.append(("prefix", problem))
        kind = "ui" if given.get("domains") else "api"
        owner = self._noting("owner", errors, lambda: self._owner(given.get("owner")))
        found = None
        if owner is not None:
            settings = {name: given[name] for name in _READ_BY_FIELDS if name in given}
            found = self._noting("permissions", errors, lambda: self._fields(settings, kind, owner))
        if errors or owner is None or found is None:
            self.errors += [(f"line {line}: {name}", message) for name, message in errors]
            return None
        credential = imported_keys.of_digest(bytes.fromhex(str(digest)))
        return _Key(line, credential.id, credential.digest, str(prefix), kind, owner.owner, found)

    def require_new(self, keys: Sequence[_Key]) -> None:
        """Note the keys that came before in the list, are in the registry, or ended."""
        token = access_tokens.c.id
        ids = [key.id for key in keys]
        known = set(self._reading.session.scalars(select(token).where(token.in_(ids))))
        for key in keys:
            first = self._lines.setdefault(key.id, key.line)
            problem = ""
            if first != key.line:
                problem = f"Must be another key than that of line {first}."
            elif key.id in known or key.id in self._ended:
                problem = "Must be a key that wasn't imported yet."
            if problem:
                self.errors.append((f"line {key.line}: sha256", problem))

    def _noting(self, field: str, errors: _Errors, read: Callable[[], Any]) -> Any:
        """What *read* returns; None if it raises, and then what is wrong is noted."""
        try:
            return read()
        except InvalidInput as error:
            errors += error.errors
        except (Conflict, Forbidden, NotFound) as error:
            errors.append((field, error.message))
        return None

    def _prefix_problem(self, prefix: object) -> str | None:
        problem = imported_keys.prefix_problem(prefix)
        if problem is not None:
            return problem
        taken = any(
            company != self._company and imported_keys.overlap(str(prefix), other)
            for other, company in self.declared.items()
        )
        return "Must not begin like the keys of another company." if taken else None

    def _fields(
        self, settings: Mapping[str, object], kind: str, owner: NewOwner
    ) -> Mapping[str, Any]:
        found = fields.read(
            {**fields.DEFAULTS, **settings},
            kind=kind,
            catalogue=self._catalogue,
            owner_type=owner.owner.type,
            now=self._reading.now,
        )
        owner.require_granted(found.get("permissions", ()))
        return found

    def _owner(self, reference: object) -> NewOwner:
        if reference is not None and not isinstance(reference, str):
            raise InvalidInput([("owner", "Must be a string.")])
        found = self._owners.get(reference)
        if found is None:
            found = self._owners[reference] = self._find_owner(reference)
        return found

    def _find_owner(self, reference: str | None) -> NewOwner:
        reading, company = self._reading, self._company
        if reference is None:
            first = users.administrators(reading, company, most=1)
            if not first:
                raise NotFound("Must be given: the company has no administrator.")
            reference = first[0].id
        elif "@" in reference:
            user = users.by_email(reading, reference) if storable(reference) else None
            reference = "" if user is None else user.id
        elif not users.is_user(reference):
            return token_owners.of_company(reading, company, reference)
        holder = published_holder(reading, reference) if storable(reference) else None
        if holder is None or holder.company != company or not holder.active:
            raise NotFound("Must be an active user, service account or owner of the company.")
        role = published_roles(reading, company).get(holder.role, frozenset[str]())
        return NewOwner(TokenOwner(USER, holder.id, None, holder.name), role, role)


def _add(change: Change, actor: Actor, company: str, keys: Sequence[_Key]) -> None:
    tokens = [
        {
            "id": key.id,
            "company_id": company,
            "digest": key.digest,
            "kind": key.kind,
            "label_folded": folded(key.found["label"]),
            "created_at": change.now,
            "owner_id": key.owner.id,
            "created_by": actor.person.id,
            "created_by_name": None if actor.person.id else actor.name,
            "deactivated_at": None,
            # A round warns of its end.
            "warn_at": None if key.found["expires_at"] is None else 0,
            "imported_prefix": key.prefix,
            **key.found,
        }
        for key in keys
    ]
    change.session.execute(insert(access_tokens), tokens)
    indexing.add_each(change, tokens)
    recency.add_each(change, tokens)
    publish_grants(change, [grant_of(token) for token in tokens])
    # Most keys of a list have the same settings: those share a statement.
    alike: dict[str, tuple[dict[str, Any], list[Subject]]] = {}
    for key in keys:
        after = {name: value for name, value in key.found.items() if name != "label"}
        after |= {"kind": key.kind, "prefix": key.prefix}
        after |= {"owner": key.owner.id, "owner_name": key.owner.name}
        _, subjects = alike.setdefault(json.dumps(after), (after, []))
        subjects.append(Subject("access_token", key.id, key.found["label"]))
    for after, subjects in alike.values():
        log.record_each(
            change, actor, "access_token.imported", subjects, company=company, after=after
        )


def _portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]
