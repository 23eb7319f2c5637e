"""/welcome: the first page of a user who has just accepted an invitation."""

from starlette.responses import Response

from gatepass.registry.directory import role_records, users
from gatepass.web.pages.company.role_strip import role_strip
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.sign_in.accept_invitation import WELCOME

router = page_router()


@router.get(WELCOME)
def show(screen: CurrentScreen) -> Response:
    """What the user's role permits, and where to begin."""
    screen.actor.require_signed_in()
    catalogue, user_id = screen.node.catalogue, screen.actor.user or ""
    with screen.read() as reading:
        roles = role_records.of_company(reading, catalogue, screen.company)
        user = users.get(reading, user_id)
    role = roles.get(user.role)
    return screen.render(
        "welcome.html",
        role=role,
        strip=role_strip(catalogue, role.permissions) if role else None,
        # Users of the provider have theirs there.
        offers_second_factor=not user.second_factor and not screen.node.settings.oidc_required,
    )
