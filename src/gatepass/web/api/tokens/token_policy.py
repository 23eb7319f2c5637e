"""``/v1/company/token-policy``."""

from typing import Annotated, Any, ClassVar, Literal

from fastapi import Response
from pydantic import Field

from gatepass.registry.input.permissions import MOST_PERMISSIONS
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.input import MOST_UNUSED_DAYS
from gatepass.registry.tokens.policy import policy_breaches, token_policies
from gatepass.registry.tokens.policy.token_policies import (
    LONGEST_LIFE_DAYS,
    MOST_WARN_DAYS,
    MOST_WARNINGS,
)
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.shapes import Record, Time, Versions, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Company")

Rule = Literal["longest_life_days", "networks_required", "unused_days"]


def _days(most: int) -> Any:
    return Field(json_schema_extra={"minimum": 1, "maximum": most})


class NewTokenPolicy(Fields):
    """A whole policy: what it doesn't require is null, false or empty."""

    longest_life_days: Annotated[int, _days(LONGEST_LIFE_DAYS)] | None = Field(examples=[90])
    networks_required: bool = Field(examples=[True])
    unused_days: Annotated[int, _days(MOST_UNUSED_DAYS)] | None = Field(examples=[60])
    approval_required: list[str] = Field(
        json_schema_extra={"maxItems": MOST_PERMISSIONS}, examples=[["charges:*"]]
    )
    warn_days: list[Annotated[int, _days(MOST_WARN_DAYS)]] = Field(
        json_schema_extra={"maxItems": MOST_WARNINGS}, examples=[[14, 7, 1]]
    )


class TokenPolicy(Record):
    """What the company requires of its access tokens."""

    etag: ClassVar[Versions] = token_policies.etag

    longest_life_days: int | None = Field(
        description="The most days from a token's creation to its expiry; null: no limit.",
        examples=[90],
    )
    networks_required: bool = Field(
        description="Whether a token must have networks, or, of kind `ui`, domains.",
        examples=[True],
    )
    unused_days: int | None = Field(
        description="The most days without use after which a token ends, and those of a new token "
        "that names none; null: no limit.",
        examples=[60],
    )
    approval_required: tuple[str, ...] = Field(
        description="Permissions for which a token needs the approval of a second person.",
        examples=[["charges:*"]],
    )
    warn_days: tuple[int, ...] = Field(
        description="How many days before a token's expiry its owner is warned; the first warning "
        "first.",
        examples=[[14, 7, 1]],
    )


class BreakingAccessToken(Record):
    """An access token that breaks a policy."""

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Nightly settlement"])
    kind: Literal["api", "ui"]
    created_at: Time
    breaks: tuple[Rule, ...] = Field(description="The rules that it breaks.")


class TokenPolicyPreview(Record):
    """The active access tokens that break a policy."""

    count: int = Field(examples=[12])
    by_rule: dict[Rule, int] = Field(
        description="How many break each of the policy's rules.",
        examples=[{"longest_life_days": 12}],
    )
    items: tuple[BreakingAccessToken, ...] = Field(
        description=f"The newest {policy_breaches.NAMED}."
    )


@router.get("/company/token-policy", summary="The policy for access tokens")
def get(response: Response, node: CurrentNode, actor: Authenticated) -> TokenPolicy:
    """Needs `company:get`."""
    with node.database.read(node.clock.now()) as reading:
        return sent(TokenPolicy, token_policies.own(reading, actor), response)


@router.put("/company/token-policy", summary="Replace the policy for access tokens")
def put(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    new: Annotated[NewTokenPolicy, body(NewTokenPolicy)],
    if_match: IfMatch,
) -> TokenPolicy:
    """Needs `company:modify`. Applies to tokens that are created, replaced or changed from now on.
    Tokens that break it stay as they are, and their other fields can be changed. With `If-Match`,
    only that version is changed (else 409)."""
    with current_as(TokenPolicy), node.database.write(node.clock.now()) as change:
        changed = token_policies.replace(
            change, actor, new.model_dump(), catalogue=node.catalogue, if_match=if_match
        )
    return settled(change.confirmed, sent(TokenPolicy, changed, response))


@router.post("/company/token-policy/preview", summary="Preview the impact of a policy")
def preview(
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    wanted: Annotated[NewTokenPolicy, body(NewTokenPolicy)],
) -> TokenPolicyPreview:
    """Needs `company:modify`. Changes nothing: lists the active tokens that break the policy, the
    newest first. `approval_required` is no rule that a token breaks: it binds new ones."""

    def operation(reading: Reading) -> TokenPolicyPreview:
        return TokenPolicyPreview.model_validate(
            policy_breaches.preview(reading, actor, wanted.model_dump(), catalogue=node.catalogue)
        )

    return changing.reading(operation)
