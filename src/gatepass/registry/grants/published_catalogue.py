"""The installation's catalogue, as published for decisions."""

import msgspec

from gatepass.core import published_catalogue
from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import Unavailable
from gatepass.core.grants import encode
from gatepass.core.published_catalogue import CONTENTS_ID, DIGEST_ID
from gatepass.core.routes import RouteError
from gatepass.registry.grants.publishing import publish_grants, published_grant
from gatepass.registry.storage.database import Change, Reading

# The latest that was read, by its digest.
_latest: dict[bytes, Catalogue] = {}


def publish_catalogue(change: Change, catalogue: Catalogue) -> None:
    """Make *catalogue* the installation's, with this transaction's revision, unless it is."""
    records = published_catalogue.records(catalogue)
    if [published_grant(change, each.id) for each in records] != list(records):
        publish_grants(change, records)


def current_catalogue(reading: Reading, otherwise: Catalogue) -> Catalogue:
    """The installation's catalogue, as of this transaction; *otherwise* while it has none.

    What derives from a catalogue is published from this one. A node's own may be a second older,
    and would bring back what the latest dropped.

    Raises:
        Unavailable: its records are damaged.
    """
    found = published_grant(reading, DIGEST_ID)
    if found is None:
        return otherwise
    catalogue = _latest.get(found.digest)
    if catalogue is None:
        contents = published_grant(reading, CONTENTS_ID)
        try:
            if contents is None or contents.digest != found.digest:
                raise RouteError("the records are of two catalogues")
            catalogue = published_catalogue.catalogue_in(encode(contents))
        except (msgspec.DecodeError, RouteError) as error:
            raise Unavailable("the catalogue's records can't be read") from error
        _latest.clear()
        _latest[found.digest] = catalogue
    return catalogue
