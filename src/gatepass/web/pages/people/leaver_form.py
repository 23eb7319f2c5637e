"""The form that decides about the access tokens of a user who is deactivated."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast, get_args

from gatepass.core.display_text import isolated, marked
from gatepass.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from gatepass.core.grants import SERVICE_ACCOUNT, USER
from gatepass.core.hand_over import lacking
from gatepass.registry.directory import owner_search, role_records, user_search, users
from gatepass.registry.directory.owner_records import Owner
from gatepass.registry.directory.users import User
from gatepass.registry.grants.publishing import published_roles
from gatepass.registry.input.text import storable
from gatepass.registry.membership import offboarding
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import hand_over
from gatepass.registry.tokens.ending.of_owner import Left
from gatepass.registry.tokens.hand_over import Choice, Fate, Handling, Prepared, Recipient
from gatepass.web.pages.layout.screen import Screen
from gatepass.web.pages.text.confirmation import confirmation_text
from gatepass.web.pages.text.forms import Fields
from gatepass.web.pages.text.wording import counted, some

_PREFIX = "token-"
_SUGGESTED = 100
_MISSING = "Enter who gets the access tokens."
_UNKNOWN = "Enter the e-mail address of an active user, or the name or id of a service account."
_SEVERAL = "Several service accounts have this name. Enter the id of one."


@dataclass(frozen=True)
class LeaverForm:
    """The form, as typed.

    Attributes:
        rest: what happens to all tokens but those in *each*.
        to: the new owner: an address, a name or an id.
        each: choices of single tokens, by id.
    """

    rest: Fate = "deactivate"
    to: str = ""
    each: Mapping[str, Choice] = field(default_factory=dict)

    @classmethod
    def read(cls, fields: Fields) -> "LeaverForm":
        """The form that was sent. An unknown choice means the default."""
        rest = fields.one("access_tokens")
        each = {
            name.removeprefix(_PREFIX): cast(Choice, value)
            for name, value in fields.pairs
            if name.startswith(_PREFIX) and value in get_args(Choice)
        }
        known = cast(Fate, rest) if rest in get_args(Fate) else "deactivate"
        return cls(known, fields.one("to").strip(), each)

    def handling(self, reading: Reading, screen: Screen, tokens: Left) -> Handling:
        """As the registry takes it. Choices of other tokens than *tokens* are left out: they have
        been deactivated since.

        Raises:
            InvalidInput: for ``to``; there is no such owner, or there are several.
        """
        ids = {token.id for token in tokens.latest}
        each = {id: choice for id, choice in self.each.items() if id in ids}
        if not Handling(self.rest, None, each).hands_over:
            return Handling(self.rest, None, each)
        return Handling(self.rest, _recipient(reading, screen, self.to), each)


@dataclass(frozen=True)
class Outlook:
    """What will be true of the tokens.

    Attributes:
        sentence: with its names marked; or why that can't be.
        handling: None if it can't be.
    """

    sentence: str
    handling: Handling | None


def outlook(
    reading: Reading, screen: Screen, user: User, tokens: Left, form: LeaverForm
) -> Outlook:
    """What will be true of the *tokens* of *user* once *form* is sent."""
    try:
        handling = form.handling(reading, screen, tokens)
        to = None
        if handling.to is not None:
            to = offboarding.recipient(reading, screen.actor, user, handling.to)
        prepared = hand_over.prepare(reading, user, handling, to)
    except InvalidInput as error:
        return Outlook(error.errors[0][1], None)
    except Conflict as conflict:
        return Outlook(_too_small(conflict, tokens) or conflict.message, None)
    except (Forbidden, NotFound) as error:
        return Outlook(error.message, None)
    return Outlook(_sentence(prepared, tokens.count), handling)


def _too_small(conflict: Conflict, tokens: Left) -> str:
    """The tokens that the new owner's role is too small for, by their labels; "" without any."""
    labels = {f"tokens.{token.id}": token.label for token in tokens.latest}
    named = [marked(labels[at], "(no label)") for at, _ in conflict.errors if at in labels]
    if not named:
        return ""
    return (
        f"The new owner's role doesn't grant all permissions of {some(named)}. Choose another "
        "owner, or deactivate what doesn't fit."
    )


def _sentence(prepared: Prepared, count: int) -> str:
    said = []
    handed_over, ended = len(prepared.handed_over), len(prepared.ended)
    if prepared.to is not None and handed_over:
        works = "works on and belongs" if handed_over == 1 else "work on and belong"
        name = marked(prepared.to.name)
        said.append(f"{counted(handed_over, 'access token')} {works} to {name}.")
    if prepared.narrowed:
        lose = "loses" if prepared.narrowed == 1 else "lose"
        said.append(
            f"{prepared.narrowed:,} of them {lose} permissions that the role of "
            f"{marked(prepared.leaver.name)} doesn't grant any more."
        )
    rest = count - handed_over - ended
    if prepared.rest == "deactivate":
        ended, rest = ended + rest, 0
    more = "more " if handed_over else ""
    if ended:
        are = "is" if ended == 1 else "are"
        said.append(
            f"{counted(ended, f'{more}access token')} {are} deactivated permanently: every call "
            f"with {'it' if ended == 1 else 'them'} is refused."
        )
    if rest:
        stay = "stays in the list as it is" if rest == 1 else "stay in the list as they are"
        more = "more " if handed_over or ended else ""
        said.append(
            f"{counted(rest, f'{more}access token')} {stay}, and every call with "
            f"{'it' if rest == 1 else 'them'} is refused."
        )
    return " ".join(said)


@dataclass(frozen=True)
class Suggestion:
    """A new owner to choose: what to type, and how to read it."""

    value: str
    text: str


def suggestions(reading: Reading, screen: Screen, user: User, tokens: Left) -> list[Suggestion]:
    """Owners whose role grants all that the active *tokens* of *user* have; the newest of many."""
    actor = screen.actor
    needed = {
        name for token in tokens.latest if token.status == "active" for name in token.permissions
    }
    granted = published_roles(reading, screen.company)
    names = role_records.of_company(reading, screen.node.catalogue, screen.company)

    def fits(role: str) -> bool:
        grants = granted.get(role, frozenset())
        return not lacking(needed, grants) and all(actor.may(name) for name in grants)

    accounts = _service_accounts(reading, screen)
    alike = Counter(account.name for account in accounts)
    suggested: list[tuple[str, Owner | User]] = []
    for account in accounts:
        if fits(account.role):
            typed = confirmation_text(account.name, account.id)
            suggested.append((typed if alike[account.name] == 1 else account.id, account))
    people: Sequence[User] = ()
    if actor.may("users:get"):
        people = user_search.list_(
            reading, actor, status="active", limit=_SUGGESTED, counted=False
        ).items
    suggested += [(one.email, one) for one in people if one.id != user.id and fits(one.role)]
    return [
        Suggestion(value, f"{isolated(one.name)} · {isolated(names[one.role].name)}")
        for value, one in suggested
    ]


def _service_accounts(reading: Reading, screen: Screen, q: str = "") -> list[Owner]:
    if not screen.actor.may("service-accounts:manage"):
        return []
    return owner_search.list_(
        reading,
        screen.actor,
        q=q or None,
        type=SERVICE_ACCOUNT,
        status="active",
        limit=_SUGGESTED,
        counted=False,
    ).items


def _recipient(reading: Reading, screen: Screen, typed: str) -> Recipient:
    if not typed:
        raise InvalidInput([("to", _MISSING)])
    user = users.by_email(reading, typed) if "@" in typed and storable(typed) else None
    if user is not None and user.company == screen.company:
        return Recipient(USER, user.id)
    named = [
        owner
        for owner in _service_accounts(reading, screen, typed)
        if typed in (owner.id, owner.name.strip())
    ]
    if len(named) != 1:
        raise InvalidInput([("to", _SEVERAL if named else _UNKNOWN)])
    return Recipient(SERVICE_ACCOUNT, named[0].id)
