"""``/v1/catalogue``: the installation's catalogue, its versions, and publishing one."""

from typing import Annotated

from fastapi import Path, Response
from pydantic import Field

from gatepass.core.catalogue_file import LARGEST
from gatepass.registry.directory import catalogue_versions
from gatepass.registry.directory.catalogue_versions import LONGEST_NOTE
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import catalogue_impact
from gatepass.registry.tokens.catalogue_impact import NAMED
from gatepass.web.api.catalogue import Permission
from gatepass.web.api.changing import CurrentChange
from gatepass.web.api.confirmation import settled
from gatepass.web.api.parameters import IfMatch, Paging
from gatepass.web.api.records.catalogue import EXAMPLE, CatalogueSummary, CatalogueVersion
from gatepass.web.api.request_body import Fields, body, resource
from gatepass.web.api.shapes import Listed, Record, current_as, sent
from gatepass.web.caller import CurrentNode, SignedIn

router = resource("Catalogue")

_Number = Annotated[str, Path(pattern="^[0-9]{1,9}$", description="The version's number.")]


class CatalogueText(Fields):
    """A catalogue that might be published."""

    text: str = Field(
        description="That of a catalogue file.",
        json_schema_extra={"maxLength": LARGEST},
        examples=[EXAMPLE],
    )


class NewCatalogue(CatalogueText):
    """A catalogue to publish."""

    note: str = Field(
        default="",
        description="What it is for, in a line.",
        json_schema_extra={"maxLength": LONGEST_NOTE},
        examples=["Adds refunds"],
    )


class ChangedPermission(Record):
    """A permission with another title or other routes than before."""

    before: Permission
    after: Permission


class MovedRoute(Record):
    """A route that needs another permission than before."""

    route: str = Field(examples=["POST /v1/charges"])
    before: str = Field(examples=["charges:create"])
    after: str = Field(examples=["payments:create"])


class HoldingCompany(Record):
    """A company with active access tokens that hold a permission."""

    id: str = Field(examples=["com_4fT0aB3cD5eF7gH9"])
    name: str = Field(examples=["Acme Payments"])
    tokens: int = Field(examples=[3])


class HoldingToken(Record):
    """An active access token that holds a permission."""

    id: str = Field(examples=["gpat_4fT0aB3cD5eF7gH9"])
    label: str = Field(examples=["Nightly settlement"])
    company: str = Field(examples=["com_4fT0aB3cD5eF7gH9"])


class LostPermission(Record):
    """A permission that would no longer permit anything, and who holds it."""

    permission: str = Field(examples=["charges:refund"])
    tokens: int = Field(description="Active access tokens that hold it.", examples=[3])
    roles: int = Field(description="Companies' own roles that name it.", examples=[1])
    companies: tuple[HoldingCompany, ...] = Field(description=f"The {NAMED} with the most tokens.")
    newest: tuple[HoldingToken, ...] = Field(description=f"The {NAMED} newest tokens.")


class CataloguePreview(Record):
    """What publishing a catalogue would do."""

    added: tuple[Permission, ...]
    changed: tuple[ChangedPermission, ...]
    dropped: tuple[Permission, ...]
    moved: tuple[MovedRoute, ...]
    holders: tuple[LostPermission, ...] = Field(
        description="Of what would be lost, what any active token or role holds."
    )


@router.get("/catalogue", summary="The version of the catalogue that counts")
def get_catalogue(response: Response, node: CurrentNode, actor: SignedIn) -> CatalogueVersion:
    """For operators. Number 0 is the empty catalogue before the first version."""
    with node.database.read(node.clock.now()) as reading:
        return sent(CatalogueVersion, catalogue_versions.current(reading, actor), response)


@router.put("/catalogue", summary="Publish a catalogue")
def put_catalogue(
    response: Response,
    node: CurrentNode,
    actor: SignedIn,
    if_match: IfMatch,
    new: Annotated[NewCatalogue, body(NewCatalogue)],
) -> CatalogueVersion:
    """For operators. It counts on all nodes and in all embedded verifiers that have none of their
    own, without a restart; roles follow it. One with a mistake is 422 with the line, and changes
    nothing. The present text makes no new version."""
    with current_as(CatalogueVersion), node.database.write(node.clock.now()) as change:
        made = catalogue_versions.publish(change, actor, **new.named(), if_match=if_match)
    return settled(change.confirmed, sent(CatalogueVersion, made, response))


@router.post("/catalogue/preview", summary="Preview the impact of a catalogue")
def preview_catalogue(
    node: CurrentNode,
    actor: SignedIn,
    changing: CurrentChange,
    wanted: Annotated[CatalogueText, body(CatalogueText)],
) -> CataloguePreview:
    """For operators. Changes nothing: says what publishing it would add, change and drop, and who
    holds what would no longer permit anything."""

    def operation(reading: Reading) -> CataloguePreview:
        found = catalogue_impact.preview(reading, actor, wanted.text, catalogue=node.catalogue)
        return CataloguePreview(
            added=tuple(map(Permission.model_validate, found.differences.added)),
            changed=tuple(map(ChangedPermission.model_validate, found.differences.changed)),
            dropped=tuple(map(Permission.model_validate, found.differences.dropped)),
            moved=tuple(map(MovedRoute.model_validate, found.differences.moved)),
            holders=tuple(map(LostPermission.model_validate, found.holders)),
        )

    return changing.reading(operation)


@router.get("/catalogue/versions", summary="All versions of the catalogue")
def list_versions(node: CurrentNode, actor: SignedIn, paging: Paging) -> Listed[CatalogueSummary]:
    """For operators; without their texts."""
    with node.database.read(node.clock.now()) as reading:
        page = catalogue_versions.list_(reading, actor, **paging)
    return Listed[CatalogueSummary].of(page)


@router.get("/catalogue/versions/{id}", summary="One version of the catalogue")
def get_version(
    response: Response, node: CurrentNode, actor: SignedIn, id: _Number
) -> CatalogueVersion:
    """For operators."""
    with node.database.read(node.clock.now()) as reading:
        found = catalogue_versions.get(reading, actor, int(id))
    return sent(CatalogueVersion, found, response)
