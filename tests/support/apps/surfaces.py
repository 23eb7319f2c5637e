"""The outcome of a token at each surface: verify, the gateway's endpoint, the sign-in."""

from typing import Any

from tests.support.apps.installation import PASSWORD, Installation


def sign_in(installation: Installation, **options: Any) -> tuple[int, str | None]:
    """Sign in as Ada; the status and the reason."""
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = installation.client().post("/v1/authentications", json=body, **options)
    return answer.status_code, answer.json().get("reason")


def decided(installation: Installation, token: str, address: str) -> tuple[int, str]:
    """Ask ``/v1/verify`` about a call from *address*; the status and the reason."""
    answer = installation.verify(token, permission="charges:get", address=address)
    return answer["status"], answer["reason"]


def gateway(installation: Installation, token: str, address: str) -> tuple[int, str | None]:
    """Ask ``/authz/nginx`` about a call from *address*; the status and the reason."""
    answer = installation.client(token).get(
        "/authz/nginx",
        headers={
            "X-Original-URI": "/v1/charges/7",
            "X-Original-Method": "GET",
            "X-Forwarded-For": address,
        },
    )
    return answer.status_code, answer.headers.get("x-gatepass-reason")
