"""Well-known URIs (RFC 8615): what programs look for at a server they know nothing of."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from gatepass.web.caller import CurrentNode
from gatepass.web.gateway import authzen
from gatepass.web.pages.layout import navigation

router = APIRouter(prefix="/.well-known", include_in_schema=False)

#: The file says until when it may be relied on. It is made for each request, so it never expires.
_VALID = timedelta(days=90)


@router.get("/security.txt")
def security_txt(node: CurrentNode) -> Response:
    """``security.txt`` (RFC 9116); 404 unless SECURITY_CONTACT is set."""
    contact = node.settings.security_contact
    if contact is None:
        raise HTTPException(404)
    until = datetime.fromtimestamp(node.clock.now() // 1000, UTC) + _VALID
    expires = until.replace(hour=0, minute=0, second=0).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = (
        f"Contact: {contact}",
        f"Expires: {expires}",
        "Preferred-Languages: en",
        f"Canonical: {node.settings.public_url}/.well-known/security.txt",
    )
    return PlainTextResponse("".join(f"{line}\n" for line in lines))


@router.get("/change-password")
def change_password() -> Response:
    """To the page for it (W3C, *A Well-Known URL for Changing Passwords*)."""
    return RedirectResponse(navigation.PASSWORD.path, 303)


@router.get("/authzen-configuration")
def authzen_configuration(node: CurrentNode) -> dict[str, str]:
    """The metadata of the policy decision point (AuthZEN 1.0, 9)."""
    return authzen.configuration(node.settings.public_url)


@router.get("/oauth-protected-resource")
def oauth_protected_resource(node: CurrentNode) -> dict[str, Any]:
    """How the REST API takes its tokens (RFC 9728). No authorization server issues them: people
    create them."""
    url = node.settings.public_url
    return {
        "resource": url,
        "resource_name": "Gatepass",
        "resource_documentation": f"{url}/v1/docs",
        "bearer_methods_supported": ["header"],
    }
