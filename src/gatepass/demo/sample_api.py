"""The demo's payments API at ``/demo/v1``, as a company would guard one with Gatepass.

It doesn't handle tokens: the middleware in front passes only permitted calls on, and stores the
decision in the ASGI scope, where ``create_charge`` reads the id of the token.
"""

import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gatepass.demo.sample_store import Record, SampleStore

LARGEST_BODY = 64 * 1024
LARGEST_LIST = 100

Amount = Annotated[int, msgspec.Meta(gt=0, le=99_999_999)]
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Text = Annotated[str, msgspec.Meta(max_length=200)]
Handler = Callable[[Request, bytes], Record | list[Record]]

_Body = TypeVar("_Body")
_TITLES = {
    400: ("Bad Request", "broken_json"),
    404: ("Not Found", "not_found"),
    405: ("Method Not Allowed", "method_not_allowed"),
    409: ("Conflict", "conflict"),
    413: ("Content Too Large", "too_large"),
    422: ("Unprocessable Content", "invalid"),
}


class NewCharge(msgspec.Struct):
    """Fields to create a charge. ``amount`` is in the currency's smallest unit."""

    amount: Amount = 4_900
    currency: Currency = "AUD"
    description: Text = "A charge made with a Gatepass token"
    customer: Text | None = None
    capture: bool = True


class NewCheckout(msgspec.Struct):
    """Fields to create a checkout."""

    amount: Amount = 4_900
    currency: Currency = "AUD"


class NewCustomer(msgspec.Struct):
    """Fields to create a customer."""

    name: Text = "New customer"
    email: Text | None = None


class CustomerChanges(msgspec.Struct):
    """Fields to change in a customer; absent ones stay."""

    name: Text | msgspec.UnsetType = msgspec.UNSET
    email: Text | msgspec.UnsetType = msgspec.UNSET


class NewWebhook(msgspec.Struct):
    """Fields to create a webhook."""

    url: Text = "https://hooks.example.com/"
    events: Annotated[tuple[Text, ...], msgspec.Meta(max_length=20)] = ("charge.succeeded",)


def sample_api(store: SampleStore) -> Starlette:
    """The API over *store* as an ASGI application.

    Every answer is 200 with JSON, or a problem document.
    """

    def create_charge(request: Request, body: bytes) -> Record:
        new = _read(body, NewCharge)
        fields: dict[str, object] = {
            "amount": new.amount,
            "currency": new.currency,
            "status": "succeeded" if new.capture else "authorised",
            "description": new.description,
            "customer": new.customer,
            "made_with": request.scope["gatepass"].grant.id,
        }
        return store.create("charges", _now(), fields)

    def capture_charge(request: Request, body: bytes) -> Record:
        id = existing(request, "charges").id
        captured = store.modify("charges", id, {"status": "succeeded"}, from_status="authorised")
        if captured is None:
            raise HTTPException(409, "Only an authorised charge can be captured.")
        return captured

    def refund_charge(request: Request, body: bytes) -> Record:
        id = existing(request, "charges").id
        charge = store.modify("charges", id, {"status": "refunded"}, from_status="succeeded")
        if charge is None:
            raise HTTPException(409, "Only a charge that succeeded can be refunded.")
        money = {name: charge.fields[name] for name in ("amount", "currency")}
        return store.create("refunds", _now(), {"charge": id, **money})

    def create_checkout(request: Request, body: bytes) -> Record:
        new = _read(body, NewCheckout)
        return store.create("checkouts", _now(), {**msgspec.structs.asdict(new), "status": "open"})

    def create_customer(request: Request, body: bytes) -> Record:
        return store.create("customers", _now(), msgspec.structs.asdict(_read(body, NewCustomer)))

    def modify_customer(request: Request, body: bytes) -> Record:
        changes = {
            name: value
            for name, value in msgspec.structs.asdict(_read(body, CustomerChanges)).items()
            if value is not msgspec.UNSET
        }
        id = existing(request, "customers").id
        return store.modify("customers", id, changes) or _missing("customers", id)

    def create_webhook(request: Request, body: bytes) -> Record:
        return store.create("webhooks", _now(), msgspec.structs.asdict(_read(body, NewWebhook)))

    def delete_webhook(request: Request, body: bytes) -> Record:
        webhook = existing(request, "webhooks")
        store.delete("webhooks", webhook.id)
        return webhook

    def existing(request: Request, resource: str) -> Record:
        id = request.path_params["id"]
        return store.get(resource, id) or _missing(resource, id)

    def one(resource: str) -> Handler:
        return lambda request, body: existing(request, resource)

    def newest(resource: str) -> Handler:
        return lambda request, body: store.newest(resource, limit=_limit(request))

    return Starlette(
        routes=[
            _route("POST", "/charges", create_charge),
            _route("GET", "/charges", newest("charges")),
            _route("GET", "/charges/{id}", one("charges")),
            _route("POST", "/charges/{id}/capture", capture_charge),
            _route("POST", "/charges/{id}/refund", refund_charge),
            _route("GET", "/refunds", newest("refunds")),
            _route("GET", "/refunds/{id}", one("refunds")),
            _route("POST", "/checkouts", create_checkout),
            _route("GET", "/checkouts/{id}", one("checkouts")),
            _route("POST", "/customers", create_customer),
            _route("GET", "/customers", newest("customers")),
            _route("GET", "/customers/{id}", one("customers")),
            _route("PATCH", "/customers/{id}", modify_customer),
            _route("GET", "/payouts", newest("payouts")),
            _route("GET", "/payouts/{id}", one("payouts")),
            _route("POST", "/webhooks", create_webhook),
            _route("GET", "/webhooks", newest("webhooks")),
            _route("DELETE", "/webhooks/{id}", delete_webhook),
        ],
        exception_handlers={HTTPException: _problem},
    )


def _route(method: str, path: str, handler: Handler) -> Route:
    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_BODY:
                raise HTTPException(413, "The body must be at most 64 KiB.")
        answer = await run_in_threadpool(handler, request, bytes(body))
        if isinstance(answer, Record):
            return JSONResponse(answer.as_json())
        return JSONResponse({"items": [record.as_json() for record in answer]})

    return Route("/demo/v1" + path, endpoint, methods=[method])


def _read(body: bytes, type: type[_Body]) -> _Body:
    """Decode *body* as *type*; an empty body has all defaults."""
    try:
        return msgspec.json.decode(body or b"{}", type=type)
    except msgspec.ValidationError as error:
        raise HTTPException(422, f"{error}.") from error
    except msgspec.DecodeError as error:
        raise HTTPException(400, "The body must be JSON.") from error


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", "20")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= LARGEST_LIST):
        raise HTTPException(422, f"limit must be a number from 1 to {LARGEST_LIST}.")
    return int(text)


def _missing(resource: str, id: str) -> Record:
    raise HTTPException(404, f"There is no {id} among the {resource}.")


def _now() -> int:
    return time.time_ns() // 1_000_000


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title, reason = _TITLES[error.status_code]
    document = {
        "type": "about:blank",
        "title": title,
        "status": error.status_code,
        "detail": error.detail,
        "reason": reason,
    }
    return JSONResponse(document, error.status_code, media_type="application/problem+json")
