"""/access-tokens/deactivate: confirm the deactivation of several tokens, and carry it out."""

from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import Response

from gatepass.core.errors import Conflict, InvalidInput
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens.ending import bulk
from gatepass.web.pages.access_tokens.filters import PATH, Filters
from gatepass.web.pages.layout.after_change import see_other
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.confirmation import is_confirmed
from gatepass.web.pages.text.forms import Fields, Form
from gatepass.web.pages.text.times import HOUR

_SHOWN = 10
_PATH = f"{PATH}/deactivate"

router = page_router()


@dataclass(frozen=True)
class Selection:
    """The tokens chosen in the list.

    Attributes:
        ids: the ticked ones.
        all: all that match *filters* instead.
    """

    ids: tuple[str, ...]
    all: bool
    filters: Filters

    @classmethod
    def read(cls, fields: Fields) -> "Selection":
        """The selection in an address or a form."""
        chosen = dict.fromkeys(fields.all("id"))
        # The first value of each name, as ``Fields.one``.
        filters = Filters.read(dict(reversed(fields.pairs)))
        return cls(tuple(chosen), fields.one("all") == "1", filters)

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The form's fields."""
        filters = [(name, value) for name, value in self.filters.query.items() if value]
        return filters + ([("all", "1")] if self.all else [("id", id) for id in self.ids])


@router.get(_PATH)
def ask(request: Request, screen: CurrentScreen) -> Response:
    """The confirmation page."""
    return _ask(screen, Selection.read(Fields(request.query_params.multi_items())))


@router.post(_PATH)
def deactivate(screen: CurrentScreen, fields: Form) -> Response:
    """Deactivate the tokens. If some are in use, their number must be typed."""
    selection, expect = Selection.read(fields), _number(fields.one("expect"))
    with screen.read() as reading:
        chosen = _chosen(reading, screen, selection)
    if not chosen.count:
        return _ask(screen, selection)
    if chosen.in_use and not is_confirmed(fields.one("number"), f"{chosen.count}", ""):
        return _ask(screen, selection, 422, problem="Type the number of tokens to confirm.")
    try:
        with screen.write() as change:
            if selection.all:
                outcome = bulk.deactivate_matching(
                    change, screen.actor, selection.filters.search(screen.now()), expect=expect
                )
            else:
                outcome = bulk.deactivate_listed(change, screen.actor, selection.ids)
    except Conflict as conflict:
        return _ask(screen, selection, 409, changed=conflict.message)
    except InvalidInput:
        return _ask(screen, selection, 422)
    done = selection.filters.address(deactivated=f"{outcome.deactivated}")
    return see_other(done, confirmed=change.confirmed)


def deactivated_sentence(number: str) -> str:
    """What the list says after a deactivation; "" without one."""
    count = _number(number)
    if count < 0:
        return ""
    tokens = "1 access token is" if count == 1 else f"{count:,} access tokens are"
    return f"{tokens} deactivated. Every call with {'it' if count == 1 else 'them'} is refused."


def _ask(
    screen: Screen, selection: Selection, status: int = 200, *, problem: str = "", changed: str = ""
) -> Response:
    with screen.read() as reading:
        chosen = _chosen(reading, screen, selection)
    return screen.render(
        "access_tokens/deactivate_many.html",
        status,
        selection=selection,
        chosen=chosen,
        most=bulk.MOST_TOKENS,
        problem=problem,
        changed=changed,
        back=selection.filters.address(),
        here=f"{_PATH}?{urlencode(selection.fields)}",
    )


def _chosen(reading: Reading, screen: Screen, selection: Selection) -> bulk.Chosen:
    ids = selection.ids
    if selection.all:
        try:
            ids = tuple(
                bulk.matching(reading, screen.actor, selection.filters.search(screen.now()))
            )
        except InvalidInput:
            ids = ()
    since = screen.now() - HOUR
    return bulk.chosen(reading, screen.actor, ids, used_since=since, shown=_SHOWN)


def _number(text: str) -> int:
    """A number as forms and addresses have it; -1 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else -1
