"""/company/nodes: nodes and embedded verifiers with their replication status. For operators."""

from collections.abc import Sequence

from starlette.responses import Response

from gatepass.core.errors import NotFound
from gatepass.registry.directory import companies
from gatepass.registry.replication import node_status
from gatepass.registry.replication.node_status import KnownNode
from gatepass.registry.storage import revisions
from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.paging import LARGEST_PAGE
from gatepass.web.pages.layout.navigation import NODES
from gatepass.web.pages.layout.screen import CurrentScreen, page_router
from gatepass.web.pages.text.wording import counted, listed

router = page_router()

_ORDER = {"node": 0, "embedded": 1}
_MOST_COMPANIES = 50


@router.get(NODES.path)
def show(screen: CurrentScreen, part: str = "") -> Response:
    """The page; with ``part=table`` only the table, which a script polls."""
    with screen.read() as reading:
        page = node_status.list_(reading, screen.actor, limit=LARGEST_PAGE)
        revision, _ = revisions.latest(reading)
        company_names = _company_names(reading, page.items)
    known = sorted(
        page.items, key=lambda each: (each.state == "gone", _ORDER[each.kind], each.name, each.id)
    )
    return screen.render(
        "company/nodes_table.html" if part == "table" else "company/nodes.html",
        known=known,
        more=page.next is not None,
        revision=revision,
        company_names=company_names,
        in_words=in_words(known),
    )


def in_words(known: Sequence[KnownNode]) -> str:
    """The state of all verifiers in one sentence; except those that are gone."""
    there = [each for each in known if each.state != "gone"]
    if not there:
        return "No node or embedded verifier is running."
    parts = [
        counted(count, noun)
        for noun, count in (
            ("node", sum(each.kind == "node" for each in there)),
            ("embedded verifier", sum(each.kind == "embedded" for each in there)),
        )
        if count
    ]
    troubles = [
        f"{number:,} {words}"
        for words, number in (
            ("behind", sum(each.state == "behind" for each in there)),
            ("stale", sum(each.state == "stale" for each in there)),
        )
        if number
    ]
    if troubles:
        return f"{listed(parts)}; {listed(troubles)}."
    if len(there) == 1:
        return f"{listed(parts)}, up to date."
    return f"{listed(parts)}, all up to date."


def _company_names(reading: Reading, known: Sequence[KnownNode]) -> dict[str, str]:
    ids = [id_ for each in known for id_ in (each.limits or {}).get("companies", ())]
    names: dict[str, str] = {}
    for id_ in list(dict.fromkeys(ids))[:_MOST_COMPANIES]:
        try:
            names[id_] = companies.get(reading, id_).name
        except NotFound:
            continue
    return names
