"""``/v1/verifier-keys``: the credentials of services that check tokens."""

from typing import Annotated, Any

from fastapi import Depends, Response
from pydantic import Field

from gatepass.registry.actor import Actor
from gatepass.registry.directory import verifier_keys
from gatepass.registry.input.text import LONGEST_LABEL
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.parameters import Paging, RecordId
from gatepass.web.api.records.verifier_keys import VerifierKey
from gatepass.web.api.request_body import Fields, NoBody, body, resource
from gatepass.web.api.shapes import IdText, Listed, sent
from gatepass.web.caller import CurrentNode, SignedIn, administering

router = resource("Verifier keys")

_COMPANIES: dict[str, Any] = {"minItems": 1, "maxItems": verifier_keys.MOST_COMPANIES}

Administrator = Annotated[Actor, Depends(administering("verifiers"))]


class NewVerifierKey(Fields):
    """A new verifier key."""

    label: str = Field(
        json_schema_extra={"minLength": 1, "maxLength": LONGEST_LABEL}, examples=["Gateway"]
    )
    companies: Annotated[list[IdText], Field(json_schema_extra=_COMPANIES)] | None = Field(
        default=None,
        description="The ids of the companies that it decides for; absent or null: all.",
        examples=[["com_4fT0aB3cD5eF7gH9"]],
    )


class CreatedVerifierKey(VerifierKey):
    """A new verifier key with its text, which no other answer has."""

    key: str = Field(examples=["gpvk_4fT0aB3cD5eF7gH9…"])


@router.post("/verifier-keys", status_code=201, summary="Create a verifier key")
def create(
    response: Response,
    actor: Administrator,
    changing: CurrentChange,
    new: Annotated[NewVerifierKey, body(NewVerifierKey)],
) -> CreatedVerifierKey:
    """For operators, and admin keys with `verifiers`. An admin key that is limited to a company
    must name that one. The answer is the only one with the key's text."""

    def operation(change: Change) -> CreatedVerifierKey:
        key, text = verifier_keys.create(change, actor, **new.named())
        answer = sent(VerifierKey, key, response)
        return CreatedVerifierKey.model_construct(**dict(answer), key=text)

    return changing(operation)


@router.get("/verifier-keys", summary="The installation's verifier keys")
def search(node: CurrentNode, actor: SignedIn, paging: Paging) -> Listed[VerifierKey]:
    """For operators."""
    with node.database.read(node.clock.now()) as reading:
        page = verifier_keys.list_(reading, actor, **paging)
    return Listed[VerifierKey].of(page)


@router.post("/verifier-keys/{id}/deactivate", summary="Deactivate a verifier key for good")
def deactivate(
    response: Response, actor: SignedIn, changing: CurrentChange, id: RecordId, _: NoBody
) -> VerifierKey:
    """For operators. Repeating it changes nothing."""
    return changing(
        lambda change: sent(VerifierKey, verifier_keys.deactivate(change, actor, id), response)
    )
