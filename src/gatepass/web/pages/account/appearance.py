"""/account/appearance: light, dark, or as the system has it, for this browser."""

from starlette.responses import Response

from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.navigation import MY_PROFILE
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.layout.theme import THEMES, keep_theme
from gatepass.web.pages.text.forms import Form

router = page_router()


@router.post("/account/appearance")
def choose(screen: CurrentScreen, fields: Form) -> Response:
    """Keep the choice in this browser; an unknown one follows the system."""
    screen.actor.require_signed_in()
    chosen = fields.one("theme")
    response = see_other(f"{MY_PROFILE.path}?done=appearance")
    keep_theme(response, screen.node.settings, chosen if chosen in THEMES else "")
    return response
