"""/company/second-factor: whether everyone who signs in needs one. Its form is on /company."""

from dataclasses import dataclass

from fastapi import APIRouter
from starlette.responses import Response

from gatepass.core.errors import Conflict
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory.companies import Company
from gatepass.registry.storage.database import Reading
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.navigation import PROFILE
from gatepass.web.pages.layout.visitor import Visiting, Visitor
from gatepass.web.pages.text.forms import Form

PATH = "/company/second-factor"
_DONE = {"require": "required", "lift": "lifted"}

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True)
class Rule:
    """What the form says and asks.

    Attributes:
        without: how many active people have no second factor.
        own: whether the visitor has one; without, they can't require it.
    """

    required: bool
    without: int
    own: bool


def rule_of(reading: Reading, visitor: Visitor, company: Company) -> Rule:
    """The rule as *visitor* meets it."""
    return Rule(
        required=company.second_factor_required,
        without=totp_policy.without(reading, company.id),
        own=totp_policy.has_own(reading, visitor.actor.user or ""),
    )


@router.get(PATH)
def show() -> Response:
    """The form is part of the profile."""
    return see_other(PROFILE.path)


@router.post(PATH)
def send(visitor: Visiting, node: CurrentNode, fields: Form) -> Response:
    """Require it of everyone, or lift that."""
    done, confirmed = _DONE.get(fields.one("do"), ""), True
    if done:
        try:
            with node.database.write(node.clock.now()) as change:
                totp_policy.require_of_everyone(
                    change, visitor.actor, done == "required", if_match=[fields.one("etag")]
                )
        except Conflict as error:
            # Show the current state to the second of two administrators, who can try again.
            if error.reason != "changed_meanwhile":
                raise
            done = "changed"
        else:
            confirmed = change.confirmed
    return see_other(f"{PROFILE.path}?done={done}", confirmed=confirmed)
