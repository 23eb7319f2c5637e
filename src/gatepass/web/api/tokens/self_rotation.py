"""``/v1/access-tokens/self/rotate``: an access token replaces itself."""

from typing import Annotated, Any, ClassVar

from fastapi import Response
from pydantic import Field

from gatepass.core.errors import Forbidden
from gatepass.registry.notifications import token_alarms
from gatepass.registry.storage.database import Change
from gatepass.registry.tokens import self_rotation
from gatepass.registry.tokens.self_rotation import (
    LONGEST_OVERLAP_S,
    OVERLAP_S,
    SHORTEST_OVERLAP_S,
    Reuse,
)
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.records.access_tokens import AccessToken
from gatepass.web.api.request_body import Fields, body, refusing, resource
from gatepass.web.api.shapes import sent
from gatepass.web.api.tokens.access_tokens import CreatedAccessToken
from gatepass.web.caller import CurrentNode, OwnAccessToken

router = resource("Access tokens")

_AFTER: Any = Field(json_schema_extra={"minimum": SHORTEST_OVERLAP_S, "maximum": LONGEST_OVERLAP_S})


_REUSED = (
    "This token has rotated itself before, and its successor is in use: somebody has a text that "
    "isn't theirs. So all tokens that follow from the same one have been deactivated."
)


class OwnRotation(Fields):
    """How long an access token that rotates itself works too. The body may be absent."""

    may_be_absent: ClassVar[bool] = True

    after: Annotated[int, _AFTER] | None = Field(
        default=None,
        description=f"Seconds; absent or null: {OVERLAP_S}. Never longer than it lives.",
        examples=[OVERLAP_S],
    )


@router.post(
    "/access-tokens/self/rotate",
    status_code=201,
    summary="Replace the access token in use",
    responses=refusing(409, 429),
)
def rotate(
    response: Response,
    node: CurrentNode,
    actor: OwnAccessToken,
    changing: CurrentChange,
    how: Annotated[OwnRotation, body(OwnRotation)],
) -> CreatedAccessToken:
    """For an access token that holds `own-token:rotate`; any other credential is 403
    `access_token_required`. The new token has the owner, the settings and the length of life of the
    one in use, within the company's policy (409 `longest_life_reached`). A token that never expires
    is 409 `no_expiry`, one that people replaced 409 `already_rotated`. Asking again replaces the
    new token, as long as nobody used it; after that all tokens that follow from the same one are
    deactivated, and the answer is 401 `token_deactivated`. At most 240 in an hour (429). The answer
    is the only one with the new token's text."""
    after = OVERLAP_S if how.after is None else how.after

    def operation(change: Change) -> CreatedAccessToken | Forbidden:
        outcome = self_rotation.rotate(change, actor, after)
        if isinstance(outcome, Reuse):
            token_alarms.tell_of_reuse(change, outcome)
            return Forbidden(_REUSED, reason="token_deactivated")
        token, text = outcome
        response.headers["Location"] = f"/v1/access-tokens/{token.id}"
        return CreatedAccessToken.with_text(sent(AccessToken, token, response), text)

    try:
        return changing(operation)
    except Forbidden:
        node.mailing.wake()
        raise
