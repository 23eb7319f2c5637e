"""An owner of a company, and portal sessions for its tokens."""

from typing import Any

import httpx

from gatepass.registry.actor import Actor
from gatepass.registry.directory import admin_keys, owners
from gatepass.registry.directory.owners import Owner
from tests.support.apps.installation import Installation

PAGE = "https://shop.example"
ROLE = ("charges:create", "charges:get")


class Portal:
    """An external owner, whose role grants ``ROLE``, and an admin key.

    Attributes:
        owner: the external owner.
        key: the text of the admin key.
        backend: a client with the admin key.
    """

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.role = self.new_role("Customers", *ROLE)
        self.owner = self.new_owner("customer-7", "Customer 7")
        self.key = installation.do(admin_keys.create, Actor.command_line(), label="Shop")[1]
        self.backend = installation.client(self.key)

    def new_role(self, name: str, *permissions: str) -> str:
        made = self.installation.signed_in().post(
            "/v1/roles", json={"name": name, "permissions": list(permissions)}
        )
        assert made.status_code == 201, made.text
        role: str = made.json()["id"]
        return role

    def new_owner(
        self, external_id: str, name: str, *, type: Any = "external", **more: Any
    ) -> Owner:
        where = {"company": self.installation.company.id, "role": self.role} | more
        return self.installation.do(
            owners.put,
            Actor.command_line(),
            external_id=external_id,
            catalogue=self.installation.node.catalogue,
            type=type,
            name=name,
            **where,
        )[0]

    def body(self, **fields: Any) -> dict[str, Any]:
        """A valid body for ``POST /v1/portal-sessions``, with *fields* replaced."""
        return {
            "company": self.installation.company.id,
            "owner": {"id": self.owner.id},
            "origins": [PAGE],
            "expires_in": 900,
        } | fields

    def opened(self, **fields: Any) -> Any:
        """A session that was opened: id, code and url."""
        made = self.backend.post("/v1/portal-sessions", json=self.body(**fields))
        assert made.status_code == 201, made.text
        return made.json()

    def redeem(self, code: str, origin: str | None = PAGE, **how: Any) -> httpx.Response:
        """Redeem a code, as a page of *origin* does."""
        headers = {} if origin is None else {"Origin": origin}
        client = self.installation.client(**how)
        return client.post("/v1/portal-sessions/redeem", json={"code": code}, headers=headers)

    def token(self, **fields: Any) -> str:
        """The token of a new session."""
        answer = self.redeem(self.opened(**fields)["code"])
        assert answer.status_code == 201, answer.text
        text: str = answer.json()["token"]
        return text

    def page(self, token: str | None = None, origin: str = PAGE, **fields: Any) -> httpx.Client:
        """A client as the page has it: with the token of a new session, and its Origin."""
        client = self.installation.client(token or self.token(**fields))
        client.headers["Origin"] = origin
        return client

    def access_token(self, owner: Owner, *permissions: str, label: str = "theirs") -> Any:
        """A token that Ada created for *owner*."""
        made = self.installation.signed_in().post(
            "/v1/access-tokens",
            json={
                "label": label,
                "kind": "api",
                "permissions": list(permissions or ("charges:get",)),
                "owner": {"id": owner.id},
            },
        )
        assert made.status_code == 201, made.text
        return made.json()
