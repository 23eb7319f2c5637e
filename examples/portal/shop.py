"""A shop whose customers manage the access tokens of its API in their own account.

Its customers never see Gatepass: they sign in here, and the account page has
``<gatepass-access-tokens>``. See README.md for how to run it.
"""

import html
import os
import secrets
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx
from fastapi import Depends, FastAPI, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from gatepass import Decision, Verifier
from gatepass.embed.fastapi import Guard

PAGES = Path(__file__).parent / "pages"
SHOP = os.environ.get("SHOP_URL", "http://localhost:9000")
GATEPASS = os.environ.get("GATEPASS_URL", "http://127.0.0.1:8787")

# --- the shop's own customers and their sign-in ---------------------------------------------------

PASSWORD = "let me into the shop"  # noqa: S105 - of both customers; a real shop stores hashes
CUSTOMERS = {"mia@example.com": "Mia's Bikes", "noor@example.com": "Noor's Books"}
ORDERS = {
    "mia@example.com": [{"id": "ord_1", "item": "Saddle"}],
    "noor@example.com": [{"id": "ord_2", "item": "Atlas"}],
}
sign_ins: dict[str, str] = {}


def customer(request: Request) -> str:
    """The e-mail address of the customer who is signed in."""
    email = sign_ins.get(request.cookies.get("shop", ""))
    if email is None:
        raise HTTPException(303, headers={"Location": "/"})
    return email


Customer = Annotated[str, Depends(customer)]

# --- Gatepass, called by this backend with an admin key -------------------------------------------


def gatepass() -> httpx.Client:
    """A client of Gatepass's API with the shop's admin key."""
    key = os.environ["GATEPASS_ADMIN_KEY"]
    return httpx.Client(base_url=GATEPASS, headers={"Authorization": f"Bearer {key}"}, timeout=10)


def put(client: httpx.Client, path: str, external_id: str, **fields: str) -> str:
    """Create or update a record by the shop's own id for it; the id that Gatepass gave it."""
    address = f"{path}/by-external-id/{quote(external_id, safe='')}"
    answer = client.put(address, json=fields).raise_for_status()
    return str(answer.json()["id"])


@cache
def company() -> str:
    """The id of the company whose owners are the shop's customers."""
    with gatepass() as client:
        return put(client, "/v1/companies", "corner-shop", name="Corner Shop")


def portal_code(email: str) -> str:
    """Open a portal session for a customer; the code for the page, good once, within a minute."""
    with gatepass() as client:
        owner = put(
            client,
            f"/v1/companies/{company()}/owners",
            email,
            type="external",
            name=CUSTOMERS[email],
            role="customer-service",
        )
        session = {
            "company": company(),
            "owner": {"id": owner},
            "origins": [SHOP],
            "permissions": ["charges:search", "charges:refund"],
            "expires_in": 900,
        }
        answer = client.post("/v1/portal-sessions", json=session).raise_for_status()
    return str(answer.json()["code"])


def verifier() -> Verifier:
    """Decides in this process about the calls of the API below."""
    return Verifier.follow(
        GATEPASS,
        key=os.environ["GATEPASS_KEY"],
        directory=os.environ["GATEPASS_DIRECTORY"],
    )


# --- the pages ------------------------------------------------------------------------------------

app = FastAPI(openapi_url=None)
guard = Guard(verifier)
for kind, handler in guard.exception_handlers.items():
    app.add_exception_handler(kind, handler)
app.mount("/static", StaticFiles(directory=PAGES / "static"))


@app.middleware("http")
async def with_policy(request: Request, call_next: Any) -> Response:
    """Allow the component, and nothing else of other origins; nobody may frame the shop."""
    response: Response = await call_next(request)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' {GATEPASS}; connect-src 'self' {GATEPASS}; "
        "style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return response


@app.get("/")
def front(request: Request) -> Response:
    """The sign-in form, or the account."""
    if request.cookies.get("shop", "") in sign_ins:
        return RedirectResponse("/account", 303)
    return HTMLResponse((PAGES / "sign-in.html").read_text())


@app.post("/sign-in")
def sign_in(email: Annotated[str, Form()], password: Annotated[str, Form()]) -> Response:
    """Sign a customer in."""
    if email not in CUSTOMERS or not secrets.compare_digest(password, PASSWORD):
        return HTMLResponse((PAGES / "sign-in.html").read_text(), 401)
    session = secrets.token_urlsafe()
    sign_ins[session] = email
    response = RedirectResponse("/account", 303)
    response.set_cookie("shop", session, httponly=True, samesite="strict")
    return response


@app.get("/account")
def account(email: Customer) -> HTMLResponse:
    """The customer's page, with the component."""
    page = (PAGES / "account.html").read_text()
    name = html.escape(CUSTOMERS[email])
    return HTMLResponse(page.replace("{name}", name).replace("{gatepass}", html.escape(GATEPASS)))


@app.post("/portal-code")
def code(email: Customer) -> dict[str, str]:
    """A code for the component; the page asks at the beginning, and when its session has ended."""
    return {"code": portal_code(email)}


# --- the API, for the tokens that customers make --------------------------------------------------


def of_caller(decision: Decision) -> list[dict[str, str]]:
    """The orders of the customer who owns the token of a call."""
    grant, owner = decision.grant, decision.owner
    # An owner of another company may have the same external id.
    if grant is None or owner is None or grant.company != company():
        raise HTTPException(403)
    return ORDERS.get(owner.external_id or "", [])


@app.get("/api/orders")
def orders(decision: Annotated[Decision, Depends(guard.requires("charges:search"))]) -> list[Any]:
    """The customer's orders."""
    return of_caller(decision)


@app.delete("/api/orders/{id}")
def cancel(
    id: str, decision: Annotated[Decision, Depends(guard.requires("charges:refund"))]
) -> dict[str, str]:
    """Cancel an order."""
    of_caller(decision)[:] = [each for each in of_caller(decision) if each["id"] != id]
    return {"cancelled": id}
