"""``/v1/verify``, ``/v1/verify/batch`` and health, as the OpenAPI document has them.

``web.gateway`` answers them in front of the framework. So these endpoints never run: they declare.
"""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.shapes import OwnerOfToken, Record, Time
from gatepass.web.caller import accepting
from gatepass.web.gateway.verification import MOST_CALLS

router = APIRouter()
_verify = resource("Verify")
_health = APIRouter(tags=["Health"])

#: Of answers that leave a field out where there is nothing to say.
_MAY_BE_ABSENT = ConfigDict(json_schema_serialization_defaults_required=False)


@accepting("verifier-key", "x-access-token")
async def _verifier_key() -> None:
    raise NotImplementedError


VerifierKeyInUse = Annotated[None, Depends(_verifier_key)]


class Call(Fields):
    """A call to authorize: a `permission`, `method` and `path`, or all three."""

    token: str | None = Field(
        default=None,
        description="The token's text, as the call sent it.",
        examples=["gpat_4fT0aB3cD5eF7gH9…"],
    )
    permission: (
        Annotated[str, Field(json_schema_extra={"pattern": "^[a-z0-9-]+:[a-z0-9-]+$"})] | None
    ) = Field(default=None, examples=["charges:create"])
    method: str | None = Field(default=None, examples=["POST"])
    path: str | None = Field(default=None, examples=["/v1/charges"])
    address: str | None = Field(
        default=None,
        description="The IP address the call comes from.",
        examples=["203.0.113.7"],
    )
    origin: str | None = Field(default=None, description="The call's Origin header.")
    referer: str | None = Field(default=None, description="The call's Referer header.")


class VerifiedGrant(Record):
    """A token and its owner."""

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Nightly settlement"])
    kind: Literal["api", "ui", "login"]
    company: str = Field(description="The company's id.", examples=["com_4fT0aB3cD5eF7gH9"])
    user: str = Field(description="The owner's id.", examples=["usr_4fT0aB3cD5eF7gH9"])
    owner: OwnerOfToken | None = Field(
        description="Null if the owner is unknown; such a token is refused."
    )
    permissions: list[str] = Field(
        description="The effective permissions.", examples=[["charges:create"]]
    )
    expires_at: Time | None
    metadata: dict[str, str] = Field(examples=[{"team": "payments"}])
    external_id: str | None = Field(
        description="The id by which another program knows it.", examples=["deploy-7"]
    )


class Decision(Record):
    """Whether a call is allowed, and why."""

    model_config = _MAY_BE_ABSENT

    allowed: bool
    reason: str = Field(examples=["allowed"])
    status: int = Field(
        description="200, or the HTTP status to refuse the call with.",
        examples=[200],
    )
    needed: list[str] = Field(
        description="The permissions that the call needed: the one asked for, then the route's.",
        examples=[["charges:create"]],
    )
    help: str | SkipJsonSchema[None] = Field(
        default=None,
        description="Where the refusal is explained, to people who may see the token. Present if "
        "the call was refused and the secret of an access token matched.",
        examples=["https://gatepass.example.com/decisions/dec_4fT0aB3cD5eF7gH9jK1mN3"],
    )
    grant: VerifiedGrant | SkipJsonSchema[None] = Field(
        default=None, description="Present if the token's secret matched."
    )


class CallBatch(Fields):
    """Calls to authorize."""

    calls: list[Call] = Field(json_schema_extra={"maxItems": MOST_CALLS})


class DecisionBatch(Record):
    """The decisions, in the order of the calls."""

    decisions: list[Decision]


class Health(Record):
    """A node's health."""

    model_config = _MAY_BE_ABSENT

    status: Literal["live", "ready", "not_ready"]
    reason: str | SkipJsonSchema[None] = Field(default=None, description="Why it isn't ready.")


@_verify.post("/verify", operation_id="verify", summary="Authorize a call")
async def verify(_: VerifierKeyInUse, call: Annotated[Call, body(Call)]) -> Decision:
    """For gateways and services, with a verifier key (`gpvk_…`). Send a `permission`, `method` and
    `path`, or all three."""
    raise NotImplementedError


@_verify.post(
    "/verify/batch",
    operation_id="verify_batch",
    summary=f"Authorize up to {MOST_CALLS} calls",
)
async def verify_batch(
    _: VerifierKeyInUse, batch: Annotated[CallBatch, body(CallBatch)]
) -> DecisionBatch:
    """The decisions are in the order of the calls. One invalid call makes the whole request 422."""
    raise NotImplementedError


@_health.get("/health/live", operation_id="health_live", summary="Check that the process answers")
async def live() -> Health:
    """200 as long as it does."""
    raise NotImplementedError


@_health.get(
    "/health/ready",
    operation_id="health_ready",
    summary="Check that the node can make decisions",
    responses={503: {"model": Health, "description": "It can't; `reason` says why."}},
)
async def ready() -> Health:
    """200 if it can."""
    raise NotImplementedError


router.routes.extend((*_verify.routes, *_health.routes))
