"""Impact of a change on the calls of access tokens, as answers have it."""

from pydantic import Field

from gatepass.registry.tokens.calls.impact import DAYS, MOST_ROWS, NAMED
from gatepass.web.api.shapes import Record, Time


class NewlyRefusedCall(Record):
    """Equal calls of an access token that would newly be refused."""

    access_token: str = Field(description="The token's id.", examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(description="The token's.", examples=["Nightly settlement"])
    reason: str = Field(examples=["address_not_allowed"])
    permission: str | None = Field(
        examples=["charges:create"],
        description="The permission asked for by name, else the route's.",
    )
    route: str | None = Field(examples=["/v1/charges"])
    method: str | None = Field(examples=["POST"])
    address: str | None = Field(
        examples=["203.0.113.7"],
        description="Or a network with 64 bits to check, for many IPv6 addresses.",
    )
    origin: str | None = Field(examples=[None])
    count: int = Field(examples=[12])
    first_at: Time
    last_at: Time


class CallImpact(Record):
    """What would become of the calls of the last 30 days, in numbers of calls."""

    allowed_before: int = Field(
        examples=[3041],
        description=f"Those of the last {DAYS} days that were allowed, and still are.",
    )
    refused_after: int = Field(examples=[12], description="Those of them that would be refused.")
    unknown: int = Field(
        examples=[0], description="Further ones, of which too little is kept to tell."
    )
    complete: bool = Field(
        description="False if some calls were too many to be told apart, or if there were more "
        f"than {MOST_ROWS:,} rows of them."
    )
    items: list[NewlyRefusedCall] = Field(
        description=f"Those that would be refused, the {NAMED} most frequent."
    )
