"""The catalogue's versions as the REST API sends them."""

from typing import ClassVar

from pydantic import Field

from gatepass.registry.directory import catalogue_versions
from gatepass.web.api.shapes import Record, Time, Versions, person_id, person_name

#: An example of a text.
EXAMPLE = "permissions:\n  charges:get: {title: See one charge}\n"


class CatalogueSummary(Record):
    """A version of the catalogue, without its text."""

    number: int = Field(description="From 1; 0 before the first.", examples=[7])
    permissions: int = Field(description="How many it adds to Gatepass's own.", examples=[42])
    routes: int = Field(examples=[64])
    from_file: bool = Field(description="Whether it was the file of `GATEPASS_CATALOGUE`.")
    note: str = Field(examples=["Adds refunds"])
    created_at: Time | None
    created_by: str | None = person_id("created_by")
    created_by_name: str | None = person_name("created_by")


class CatalogueVersion(CatalogueSummary):
    """A version of the catalogue."""

    etag: ClassVar[Versions] = catalogue_versions.etag

    text: str = Field(examples=[EXAMPLE])
