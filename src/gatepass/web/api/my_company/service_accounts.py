"""``/v1/service-accounts``: owners of tokens that aren't people."""

from typing import Annotated, Literal

from fastapi import Response
from pydantic import Field

from gatepass.core.grants import SERVICE_ACCOUNT
from gatepass.registry.directory import owner_search, owners
from gatepass.registry.membership import owner_offboarding
from gatepass.registry.storage.database import Change
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.owner_fields import Owner, OwnerName, OwnerRole
from gatepass.web.api.parameters import IfMatch, Paging, Reference, Term
from gatepass.web.api.request_body import Fields, NoBody, body, resource
from gatepass.web.api.shapes import Listed, current_as, sent
from gatepass.web.caller import Authenticated, CurrentNode, SignedIn

router = resource("Service accounts")


class NewServiceAccount(Fields):
    """A new service account."""

    name: OwnerName
    role: OwnerRole


class ServiceAccountChanges(Fields):
    """Changes of a service account; absent fields stay."""

    name: OwnerName = ""
    role: OwnerRole = ""


class ServiceAccount(Owner):
    """A service account."""

    id: str = Field(examples=["svc_4fT0aB3cD5eF7gH9"])
    type: Literal["service_account"]
    external_id: str | None = Field(
        description="The id it has in another product.", examples=[None]
    )
    name: str = Field(examples=["Deploys"])


@router.get("/service-accounts", summary="The company's service accounts")
def search(
    node: CurrentNode,
    actor: Authenticated,
    paging: Paging,
    q: Term | None = None,
    status: Literal["active", "deactivated"] | None = None,
) -> Listed[ServiceAccount]:
    """Needs `service-accounts:manage`. `q` searches names; a whole id or external id is found,
    too."""
    with node.database.read(node.clock.now()) as reading:
        page = owner_search.list_(
            reading,
            actor,
            q=q or None,
            type=SERVICE_ACCOUNT,
            status=status,
            counted=False,
            **paging,
        )
    return Listed[ServiceAccount].of(page)


@router.post("/service-accounts", status_code=201, summary="Create a service account")
def create(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    new: Annotated[NewServiceAccount, body(NewServiceAccount)],
) -> ServiceAccount:
    """Needs `service-accounts:manage`, and all that the role grants. Its access tokens are created
    with `owner`."""

    def operation(change: Change) -> ServiceAccount:
        account = owners.create(change, actor, catalogue=node.catalogue, **new.named())
        response.headers["Location"] = f"/v1/service-accounts/{account.id}"
        return sent(ServiceAccount, account, response)

    return changing(operation)


@router.get("/service-accounts/{id}", summary="One service account")
def get(
    response: Response, node: CurrentNode, actor: Authenticated, id: Reference
) -> ServiceAccount:
    """Needs `service-accounts:manage`."""
    with node.database.read(node.clock.now()) as reading:
        account = owner_search.get(reading, actor, id, SERVICE_ACCOUNT)
    return sent(ServiceAccount, account, response)


@router.patch("/service-accounts/{id}", summary="Change a service account")
def modify(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    id: Reference,
    changes: Annotated[ServiceAccountChanges, body(ServiceAccountChanges)],
    if_match: IfMatch,
) -> ServiceAccount:
    """Needs `service-accounts:manage`, and all permissions of its old and new role. Takes effect on
    the next call of its tokens. 409 (`owner_deactivated`) for a deactivated one. With `If-Match`,
    only that version is changed (else 409)."""
    with current_as(ServiceAccount), node.database.write(node.clock.now()) as change:
        account = owners.modify(
            change,
            actor,
            id,
            catalogue=node.catalogue,
            changes=changes.named(),
            if_match=if_match,
        )
    return settled(change.confirmed, sent(ServiceAccount, account, response))


@router.post("/service-accounts/{id}/deactivate", summary="Deactivate a service account for good")
def deactivate(
    response: Response, actor: SignedIn, changing: CurrentChange, id: Reference, _: NoBody
) -> ServiceAccount:
    """Needs `service-accounts:manage`, and all that its role grants. Deactivates all of its access
    tokens, too. Repeating it changes nothing."""

    def operation(change: Change) -> ServiceAccount:
        account = owner_offboarding.deactivate(change, actor, id, type=SERVICE_ACCOUNT)
        return sent(ServiceAccount, account, response)

    return changing(operation)
