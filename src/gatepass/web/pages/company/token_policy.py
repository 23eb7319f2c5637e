"""/company/token-policy: what the company requires of its access tokens."""

import re
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import HTMLResponse, Response

from gatepass.core.errors import Conflict, InvalidInput, Unavailable
from gatepass.core.token_policy import TokenPolicy
from gatepass.registry.actor import Actor
from gatepass.registry.tokens.policy import policy_breaches, token_policies
from gatepass.registry.tokens.policy.policy_breaches import BreakingToken, PolicyBreaches
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.form_state import OPENED, Difference, FormState, refused
from gatepass.web.pages.layout.navigation import TOKEN_POLICY
from gatepass.web.pages.layout.resuming import resumable
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import Fields, Form, whole_number
from gatepass.web.pages.text.policy_text import broken_rule, policy_sentence
from gatepass.web.pages.text.wording import listed
from gatepass.web.pages.widgets.permission_groups import offered, without_covered

PATH = TOKEN_POLICY.path
_TEMPLATE = "company/token_policy.html"
_ACTIONS = ("token_policy.changed",)
_NAMES = {
    "longest_life_days": "Longest life",
    "networks_required": "IP addresses required",
    "unused_days": "Days without use",
    "approval_required": "Approval required",
    "warn_days": "Warnings before expiry",
}
#: Instead of a preview, while the input can't be read.
UNREAD = "Some fields aren't valid yet."

router = page_router()


@dataclass(frozen=True)
class Typed:
    """The input of the form."""

    longest_life_days: str
    networks_required: bool
    unused_days: str
    warn_days: str
    permissions: list[str]
    etag: str

    @classmethod
    def read(cls, fields: Fields) -> "Typed":
        """The submitted form."""
        return cls(
            fields.one("longest_life_days").strip(),
            fields.one("networks_required") == "yes",
            fields.one("unused_days").strip(),
            fields.one("warn_days").strip(),
            without_covered(fields.all("permissions")),
            fields.one("etag"),
        )

    @classmethod
    def of(cls, policy: TokenPolicy) -> "Typed":
        """The form of *policy*."""
        return cls(
            str(policy.longest_life_days or ""),
            policy.networks_required,
            str(policy.unused_days or ""),
            ", ".join(map(str, policy.warn_days)),
            list(policy.approval_required),
            token_policies.etag(policy),
        )

    @property
    def given(self) -> dict[str, object]:
        """The policy, as the registry reads it."""
        warnings = [text for text in re.split(r"[\s,;]+", self.warn_days) if text]
        return {
            "longest_life_days": whole_number(self.longest_life_days),
            "networks_required": self.networks_required,
            "unused_days": whole_number(self.unused_days),
            "approval_required": self.permissions,
            "warn_days": [whole_number(text) for text in warnings],
        }


@dataclass(frozen=True)
class Preview:
    """What saving the form would do.

    Attributes:
        problem: why that can't be said yet; the others are empty then.
        sentence: what will be required.
        found: the active tokens that break it.
        broken: how many break which rule, in words.
        tokens: the newest that do, each with what it can do.
    """

    problem: str
    sentence: str = ""
    found: PolicyBreaches | None = None
    broken: tuple[str, ...] = ()
    tokens: tuple[tuple[BreakingToken, str], ...] = ()


@router.get(PATH)
def show(screen: CurrentScreen, done: str = "") -> Response:
    """The policy, as a form for visitors who may change it."""
    policy = _current(screen)
    flash = "Saved. The policy applies to tokens from now on." if done == "saved" else ""
    return _page(screen, policy, Typed.of(policy), FormState(flash=flash))


@router.post(PATH)
@resumable
def send(screen: CurrentScreen, fields: Form) -> Response:
    """Save the policy, or show what saving it would do."""
    screen.require("company:modify")
    typed, pressed = Typed.read(fields), fields.one("do")
    if pressed == "sentence":
        return screen.render("company/policy_preview.html", preview=_preview(screen, typed))
    policy = _current(screen)
    if pressed != "save":
        return _page(screen, policy, typed)
    try:
        with screen.write() as change:
            token_policies.replace(
                change,
                screen.actor,
                typed.given,
                catalogue=screen.node.catalogue,
                if_match=[typed.etag],
            )
    except InvalidInput as error:
        return _page(screen, policy, typed, _at_fields(error))
    except Conflict:
        return _changed_meanwhile(screen, typed)
    except Unavailable as error:
        return _page(screen, policy, typed, refused(error))
    return see_other(f"{PATH}?done=saved", confirmed=change.confirmed)


def _current(screen: Screen) -> TokenPolicy:
    with screen.read() as reading:
        return token_policies.own(reading, screen.actor)


def _changed_meanwhile(screen: Screen, typed: Typed) -> HTMLResponse:
    """The page with both versions. The form keeps its input, and saving it again replaces the other
    version."""
    policy = _current(screen)
    saved = Typed.of(policy)
    differences = [
        Difference(name, _words(saved.given[field]), _words(typed.given[field]))
        for field, name in _NAMES.items()
        if saved.given[field] != typed.given[field]
    ]
    state = screen.changed_meanwhile(screen.company, differences, _ACTIONS)
    return _page(screen, policy, replace(typed, etag=saved.etag), state)


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "None"
    return "None" if value is None else str(value)


def _at_fields(error: InvalidInput) -> FormState:
    """Messages of list items at their field."""
    problems: dict[str, str] = {}
    for name, message in error.errors:
        problems.setdefault(name.partition(".")[0], message)
    return FormState(422, problems)


def _preview(screen: Screen, typed: Typed) -> Preview:
    try:
        policy = token_policies.read(typed.given, screen.node.catalogue)
    except InvalidInput:
        return Preview(UNREAD)
    with screen.read() as reading:
        return preview_of(policy, policy_breaches.of_company(reading, screen.company, policy))


def preview_of(policy: TokenPolicy, found: PolicyBreaches) -> Preview:
    """What saving *policy* would do, which the tokens *found* break."""
    said = {rule: broken_rule(policy, rule) for rule in found.by_rule}
    broken = [f"{number:,} {said[rule]}" for rule, number in found.by_rule.items() if number]
    tokens = [(token, listed([said[rule] for rule in token.breaks])) for token in found.items]
    return Preview("", policy_sentence(policy), found, tuple(broken), tuple(tokens))


def _page(
    screen: Screen, policy: TokenPolicy, typed: Typed, state: FormState = OPENED
) -> HTMLResponse:
    catalogue, chosen = screen.node.catalogue, typed.permissions
    may_modify = screen.visitor.may_change("company:modify")
    # All that tokens can have: the visitor grants none of it.
    groups, own_groups = (
        offered(catalogue, Actor.system(), chosen, built_in=built_in) for built_in in (False, True)
    )
    return screen.render_form(
        _TEMPLATE,
        state,
        typed=typed,
        groups=groups,
        own_groups=own_groups,
        forgotten=[name for name in policy.approval_required if not catalogue.knows(name)],
        may_modify=may_modify,
        policy=policy,
        sentence=policy_sentence(policy),
        preview=_preview(screen, typed) if may_modify else None,
    )
