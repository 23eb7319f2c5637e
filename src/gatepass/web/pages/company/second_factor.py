"""/company/second-factor: whether users must have a second factor. The form is on /company."""

from dataclasses import dataclass

from starlette.responses import Response

from gatepass.core.errors import Conflict
from gatepass.registry.authentication import totp_policy
from gatepass.registry.directory.companies import Company
from gatepass.registry.storage.database import Reading
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import PROFILE
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.layout.visitor import Visitor
from gatepass.web.pages.text.forms import Form

PATH = "/company/second-factor"
_DONE = {"require": "required", "lift": "lifted"}

router = page_router()


@dataclass(frozen=True)
class Rule:
    """What the form shows.

    Attributes:
        without: how many active users have no second factor.
        own: whether the visitor has one, without which they can't require it.
    """

    required: bool
    without: int
    own: bool


def rule_of(reading: Reading, visitor: Visitor, company: Company) -> Rule:
    """The company's rule, as shown to *visitor*."""
    return Rule(
        required=company.second_factor_required,
        without=totp_policy.without(reading, company.id),
        own=totp_policy.has_own(reading, visitor.actor.user or ""),
    )


@router.get(PATH)
def show() -> Response:
    """Redirect to the profile, which has the form."""
    return see_other(PROFILE.path)


@router.post(PATH)
def send(screen: CurrentScreen, fields: Form) -> Response:
    """Require a second factor of everyone, or stop requiring it."""
    done, confirmed = _DONE.get(fields.one("do"), ""), True
    if done:
        try:
            with screen.write() as change:
                totp_policy.require_of_everyone(
                    change, screen.actor, done == "required", if_match=[fields.one("etag")]
                )
        except Conflict as error:
            # Show the current state to the second of two administrators, who can try again.
            if error.reason != "changed_meanwhile":
                raise
            done = "changed"
        else:
            confirmed = change.confirmed
    return see_other(f"{PROFILE.path}?done={done}", confirmed=confirmed)
