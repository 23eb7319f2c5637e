"""/access-tokens/{id}/approve: approve a pending token, as it was shown."""

from starlette.responses import Response

from gatepass.core.errors import Conflict
from gatepass.registry.membership import token_approvals
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.text.forms import Form

router = page_router()


@router.post("/access-tokens/{id}/approve")
def approve(screen: CurrentScreen, id: str, fields: Form) -> Response:
    """Approve the token. If it was changed since it was shown, show it again."""
    path = f"/access-tokens/{id}"
    try:
        with screen.write() as change:
            token_approvals.approve(change, screen.actor, id, if_match=[fields.one("etag")])
    except Conflict as error:
        changed = error.reason == "changed_meanwhile"
        # It was approved, or ended, meanwhile.
        return see_other(f"{path}?done=changed" if changed else path)
    return see_other(f"{path}?done=approved", confirmed=change.confirmed)
