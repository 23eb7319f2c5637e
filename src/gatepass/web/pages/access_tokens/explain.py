"""/decisions/{id}: why a call was refused; /access-tokens/{id}/explain: any call to try.

Both only read. A refusal is kept some seconds after it was answered, so its page may be opened
before: it waits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.responses import HTMLResponse, Response

from gatepass.core.catalogue import Catalogue
from gatepass.core.errors import InvalidInput, NotFound
from gatepass.core.grants import DECOY
from gatepass.core.networks import parse_address
from gatepass.core.observed_call import is_decision_id
from gatepass.registry.explanations import explaining
from gatepass.registry.explanations.explaining import Explained, Question
from gatepass.registry.storage.database import Reading
from gatepass.registry.tokens import access_tokens
from gatepass.registry.tokens.calls import observed_calls
from gatepass.registry.tokens.calls.observed_calls import CallRecord
from gatepass.registry.tokens.records import AccessToken
from gatepass.verify.http.refusals import SENTENCES, sentence
from gatepass.web.pages.access_tokens.fix_links import next_step, offered
from gatepass.web.pages.layout.screen import CurrentScreen, Screen, page_router
from gatepass.web.pages.text.forms import whole_number

_TEMPLATE = "access_tokens/explain.html"
#: How often the page of a refusal that hasn't arrived looks again, and how long it waits for each.
_TRIES = 20
_EVERY_MS = 2_000

router = page_router()


@dataclass(frozen=True)
class TriedCall:
    """The form of a call to try, as typed.

    Attributes:
        errors: a message by field.
    """

    permission: str = ""
    method: str = ""
    path: str = ""
    address: str = ""
    origin: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, call: CallRecord, needed: Sequence[str]) -> "TriedCall":
        """The form with a call that was refused. A route stands in for its path.

        Args:
            needed: the permissions that it needed; its route's is the last one.
        """
        address = call.address or ""
        asked = needed[:1] if len(needed) > 1 or not call.route else ()
        return cls(
            "".join(asked),
            call.method or "",
            call.route or "",
            "" if "/" in address else address,
            call.origin or "",
        )

    @property
    def asks(self) -> bool:
        """Whether it names anything that can be decided."""
        return bool(self.permission or self.method or self.path)

    def wrong(self, catalogue: Catalogue) -> dict[str, str]:
        """A message for each field that isn't valid."""
        found = {}
        try:
            self.question().call(catalogue)
        except InvalidInput as error:
            found = dict(error.errors)
        # A call's address that can't be read counts as none; what a person types is mistyped.
        if self.address and parse_address(self.address) is None:
            found["address"] = "Must be an IP address such as 203.0.113.7."
        return found

    def question(self) -> Question:
        """As the registry takes it."""
        return Question(
            self.permission or None,
            self.method or None,
            self.path or None,
            self.address or None,
            self.origin or None,
        )


@router.get("/access-tokens/{id}/explain")
def try_call(
    screen: CurrentScreen,
    id: str,
    permission: str = "",
    method: str = "",
    path: str = "",
    address: str = "",
    origin: str = "",
) -> Response:
    """The form; with a permission, or method and path, also the explanation of that call."""
    form = TriedCall(
        permission.strip(), method.strip(), path.strip(), address.strip(), origin.strip()
    )
    with screen.read() as reading:
        token = _explainable(screen, reading, id)
        if not form.asks:
            last = None if token.last_used is None else token.last_used.address
            blank = TriedCall(address=form.address or last or screen.visitor.address or "")
            return _page(screen, reading, token, blank)
        wrong = form.wrong(screen.node.catalogue)
        if wrong:
            return _page(screen, reading, token, replace(form, errors=wrong), status=422)
        explained = explaining.explain(
            reading, screen.actor, token.id, form.question(), catalogue=screen.node.catalogue
        )
        return _page(screen, reading, token, form, explained)


@router.get("/decisions/{id}")
def show(screen: CurrentScreen, id: str, tried: str = "") -> Response:
    """Why a call was refused. Until it has arrived, a page that looks again by itself."""
    with screen.read() as reading:
        try:
            found = explaining.refused_call(
                reading, screen.actor, id, catalogue=screen.node.catalogue
            )
        except NotFound:
            if not is_decision_id(id) or observed_calls.refusal(reading, id) is not None:
                raise
            return _waiting(screen, id, whole_number(tried) or 0)
        token = access_tokens.get(reading, screen.actor, found.access_token)
        form = TriedCall.of(found.call, found.explanation.needed)
        return _page(screen, reading, token, form, found.explanation, refused=found.call)


def _explainable(screen: Screen, reading: Reading, token_id: str) -> AccessToken:
    token = access_tokens.get(reading, screen.actor, token_id)
    if token.kind == DECOY:
        raise NotFound("There is no such access token.")
    return token


def _waiting(screen: Screen, id: str, tried: int) -> HTMLResponse:
    waits = 0 <= tried < _TRIES
    again = f"/decisions/{id}?tried={tried + 1}" if waits else f"/decisions/{id}"
    return screen.render(
        "access_tokens/refusal_waiting.html",
        200 if waits else 404,
        waits=waits,
        again=again,
        every=_EVERY_MS,
    )


def _page(
    screen: Screen,
    reading: Reading,
    token: AccessToken,
    form: TriedCall,
    explained: Explained | None = None,
    *,
    refused: CallRecord | None = None,
    status: int = 200,
) -> HTMLResponse:
    denied = None if explained is None or explained.allowed else explained.explanation.decision
    fixes = [offered(screen, reading, token, fix) for fix in explained.fixes] if explained else []
    if denied is not None and not fixes:
        # The form leaves out a network.
        address = form.address if refused is None else refused.address or ""
        fixes = [next_step(screen, reading, token, denied, address=address, origin=form.origin)]
    return screen.render(
        _TEMPLATE,
        status,
        token=token,
        form=form,
        explained=explained,
        refused=refused,
        fixes=fixes,
        verdict="" if denied is None else sentence(denied),
        reasons=SENTENCES,
        **_choices(screen, form),
    )


def _choices(screen: Screen, form: TriedCall) -> dict[str, Any]:
    """What the form's fields offer."""
    catalogue = screen.node.catalogue
    routes = [route for known in catalogue.permissions for route in known.routes]
    methods = {route.partition(" ")[0] for route in routes}
    return {
        "methods": sorted(methods | ({form.method} if form.method else set())),
        "paths": sorted({route.partition(" ")[2] for route in routes}),
        "permissions": catalogue.names,
    }
