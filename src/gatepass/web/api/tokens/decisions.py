"""``/v1/decisions``: why a call is or was decided as it is, and what would allow it."""

from typing import Annotated, Any

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from gatepass.core.explanation import Outcome
from gatepass.registry.explanations import explaining, fixes
from gatepass.registry.explanations.explaining import Question
from gatepass.registry.explanations.fixes import FixName
from gatepass.registry.input.networks import MOST_NETWORKS
from gatepass.registry.network_policy.allowlist_entries import MOST_ENTRIES
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.input import MOST_DOMAINS
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.my_company.allowlist import NewAllowlistEntry, ProposedAllowlist
from gatepass.web.api.parameters import RecordId
from gatepass.web.api.records.allowlist import AllowlistEntry
from gatepass.web.api.request_body import Fields, body, refusing, resource
from gatepass.web.api.shapes import IdText, Permissions, Record, SparseRecord, TakenTime, Time
from gatepass.web.api.tokens.observed_calls import ObservedCall
from gatepass.web.caller import AuthenticatedOrPortal, CurrentNode

router = resource("Decisions")

_LONGEST = 2_000


class ProposedChange(Fields):
    """What would be different. Each field replaces the present value whole; absent ones stay."""

    networks: list[str] = Field(
        default=[], json_schema_extra={"maxItems": MOST_NETWORKS}, examples=[["203.0.113.0/24"]]
    )
    domains: list[str] = Field(
        default=[], json_schema_extra={"maxItems": MOST_DOMAINS}, examples=[["shop.example.com"]]
    )
    permissions: Permissions = Field(default=[])
    expires_at: TakenTime | None = Field(default=None, description="Null: never.")
    role: IdText = Field(
        default="",
        description="The id of the owner's role. Needs `roles:get`.",
        examples=["manager"],
    )
    allowlist: list[NewAllowlistEntry] = Field(
        default=[],
        json_schema_extra={"maxItems": MOST_ENTRIES},
        description="The company's, as `entries` of `PUT /v1/company/allowlist`. Needs "
        "`company:get`.",
    )

    def members(self) -> dict[str, Any]:
        """The members that the body has, as the registry takes them."""
        found = self.named()
        if "allowlist" in found:
            found["allowlist"] = ProposedAllowlist(entries=self.allowlist).typed()
        return found


class CallToExplain(Fields):
    """A call of an access token: a `permission`, `method` and `path`, or all three."""

    access_token: IdText = Field(description="The token's id.", examples=["gpat_4fT0aB3cD5eF7gH9"])
    permission: str | None = Field(default=None, max_length=200, examples=["charges:create"])
    method: str | None = Field(default=None, max_length=100, examples=["POST"])
    path: str | None = Field(default=None, max_length=_LONGEST, examples=["/v1/charges"])
    address: str | None = Field(
        default=None,
        max_length=_LONGEST,
        description="The IP address that it comes from.",
        examples=["203.0.113.7"],
    )
    origin: str | None = Field(
        default=None, max_length=_LONGEST, description="Its Origin header.", examples=[None]
    )
    referer: str | None = Field(
        default=None, max_length=_LONGEST, description="Its Referer header.", examples=[None]
    )
    at: TakenTime | None = Field(default=None, description="When; absent or null: now.")
    change: ProposedChange | None = Field(default=None, examples=[None])

    def question(self) -> Question:
        """As the registry takes it."""
        change = None if self.change is None else self.change.members()
        return Question(
            self.permission,
            self.method,
            self.path,
            self.address,
            self.origin,
            self.referer,
            self.at,
            change,
        )


class DecisionCheck(Record):
    """One of the ten checks of a decision."""

    number: int = Field(examples=[7])
    name: str = Field(examples=["Token's networks"])
    outcome: Outcome
    detail: str = Field(
        description="What was compared; empty if the check wasn't reached.",
        examples=["192.0.2.9 is not in 203.0.113.0/24."],
    )


class SuggestedChange(SparseRecord):
    """A change, as a call to explain takes it; only what it changes is there."""

    networks: list[str] | SkipJsonSchema[None] = Field(
        default=None, examples=[["203.0.113.0/24", "192.0.2.9/32"]]
    )
    domains: list[str] | SkipJsonSchema[None] = None
    permissions: list[str] | SkipJsonSchema[None] = None
    expires_at: Time | None = None
    role: str | SkipJsonSchema[None] = None
    allowlist: list[AllowlistEntry] | SkipJsonSchema[None] = None


class SuggestedFix(Record):
    """A change with which the call is allowed."""

    fix: FixName = Field(description="What removes the first obstacle.", examples=["add_network"])
    summary: str = Field(examples=["Add 192.0.2.9 to the token's networks."])
    change: SuggestedChange
    permission: str = Field(
        description="The strongest permission that making the change takes.",
        examples=["access-tokens:modify"],
    )


class Explanation(Record):
    """A decision, its ten checks, and what would allow the call."""

    allowed: bool = Field(examples=[False])
    reason: str = Field(examples=["address_not_allowed"])
    status: int = Field(
        description="200, or the HTTP status that the call is refused with.", examples=[403]
    )
    needed: tuple[str, ...] = Field(
        description="The permissions that the call needs.", examples=[["charges:create"]]
    )
    checks: tuple[DecisionCheck, ...] = Field(
        description="In their order. Those after the first that failed are not reached."
    )
    fixes: list[SuggestedFix] = Field(
        json_schema_extra={"maxItems": fixes.MOST}, description="The smallest first."
    )


class RefusedCall(ObservedCall):
    """Equal refused calls of one day, and how they would be decided now."""

    access_token: str = Field(description="The token's id.", examples=["gpat_4fT0aB3cD5eF7gH9"])
    explanation: Explanation

    @classmethod
    def of(cls, found: explaining.RefusedCall) -> "RefusedCall":
        """The answer about *found*."""
        return cls.model_construct(
            **dict(ObservedCall.model_validate(found.call)),
            access_token=found.access_token,
            explanation=Explanation.model_validate(found.explanation),
        )


@router.post("/decisions/explain", summary="Explain how a call is decided", responses=refusing(404))
def explain(
    node: CurrentNode,
    actor: AuthenticatedOrPortal,
    changing: CurrentChange,
    call: Annotated[CallToExplain, body(CallToExplain)],
) -> Explanation:
    """Needs `access-tokens:get`; an access token may ask about itself alone, without `change`, and
    needs nothing for it (else 403 `signed_in_user_required`). Changes nothing. `at` moves the clock
    alone; `change` is what would be different. Decoys are never explained (404)."""

    def operation(reading: Reading) -> Explanation:
        found = explaining.explain(
            reading, actor, call.access_token, call.question(), catalogue=node.catalogue
        )
        return Explanation.model_validate(found)

    if actor.kind == "token":
        # Anybody may have one for UI: nothing is written for it.
        with node.database.read(node.clock.now()) as reading:
            return operation(reading)
    return changing.reading(operation)


@router.get("/decisions/{id}", summary="Explain a call that was refused")
def get(node: CurrentNode, actor: AuthenticatedOrPortal, id: RecordId) -> RefusedCall:
    """Needs `access-tokens:get`. `id` is the `dec_…` at the end of a refusal's `help`. The call
    appears some seconds after it was refused, and is kept for 90 days (else 404). `explanation`
    says how it would be decided now."""
    with node.database.read(node.clock.now()) as reading:
        found = explaining.refused_call(reading, actor, id, catalogue=node.catalogue)
    return RefusedCall.of(found)
