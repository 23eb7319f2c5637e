"""One record of each kind, and the address of every page that shows one."""

import re
from typing import Any

from sqlalchemy import update

from gatepass.registry.network_policy.allowlist_entries import Entry
from gatepass.registry.storage import tables
from tests.support.apps.all_routes import page_routes
from tests.support.apps.installation import CATALOGUE, Installation
from tests.support.apps.refusals import refused


def one_of_everything(installation: Installation, name: str) -> dict[str, str]:
    """Make one record of each kind and write *name* to every field that holds typed text.

    Returns:
        The ids of the records, by the part of a path that precedes ``{id}``.
    """
    ada = installation.signed_in()
    text = installation.access_token("charges:get")
    token, decision = text[:21], refused(installation, text, permission="charges:create")
    asked = installation.client(text).post(
        "/v1/access-requests", json={"permission": "charges:create", "justification": "x"}
    )
    ended = installation.access_token("charges:get")[:21]
    decoy = ada.post("/v1/access-tokens", json={"label": "Wiki", "kind": "decoy"}).json()["id"]
    ada.patch(f"/v1/access-tokens/{token}", json={"label": "Other"})
    ada.post(f"/v1/access-tokens/{ended}/deactivate")
    role = ada.post("/v1/roles", json={"name": "Till", "permissions": ["charges:get"]}).json()["id"]
    ada.patch(f"/v1/roles/{role}", json={"name": "Tills"})
    user = installation.new_user("bob@example.com", "Bob", role=role).id
    invitation = ada.post(
        "/v1/invitations", json={"email": "אבג@example.com", "role": role}
    ).json()["id"]
    ada.patch("/v1/company", json={"name": "Another"})
    verifier_key = installation.verifier_key()[:21]
    account = ada.post(
        "/v1/service-accounts", json={"name": "Jobs", "role": "customer-service"}
    ).json()["id"]
    company = f"/v1/companies/{installation.company.id}"
    external = ada.put(
        f"{company}/owners/by-external-id/7",
        json={"type": "external", "name": "Customer", "role": "customer-service"},
    ).json()["id"]
    ada.post(
        f"{company}/access-tokens",
        json={
            "label": "Till",
            "kind": "api",
            "permissions": ["charges:get"],
            "owner": {"id": external},
        },
    )
    admin_key = ada.post("/v1/admin-keys", json={"label": "Shop"}).json()["id"]
    webhook = ada.post(
        "/v1/webhooks", json={"url": "https://hooks.example.com/", "events": ["access_token.*"]}
    ).json()["id"]
    ada.post(f"/v1/webhooks/{webhook}/test")
    ada.put("/v1/catalogue", json={"text": CATALOGUE, "note": "First"})
    installation.allow_only(Entry("127.0.0.0/8", "Office"))
    with installation.write() as change:
        for table, column in (
            (tables.users, "name"),
            (tables.owners, "name"),
            (tables.companies, "name"),
            (tables.roles, "name"),
            (tables.access_tokens, "label"),
            (tables.verifier_keys, "label"),
            (tables.admin_keys, "label"),
            (tables.access_requests, "justification"),
            (tables.allowlist_entries, "note"),
            (tables.catalogue_versions, "note"),
            (tables.catalogue_versions, "created_by_name"),
            (tables.audit_events, "actor_name"),
            (tables.audit_events, "subject_name"),
        ):
            change.session.execute(update(table).values({column: name}))
        for row in change.session.execute(tables.audit_events.select()).all():
            change.session.execute(
                update(tables.audit_events)
                .where(tables.audit_events.c.id == row.id)
                .values(before=_renamed(row.before, name), after=_renamed(row.after, name))
            )
    return {
        "access-tokens": token,
        "catalogue": "1",
        "roles": role,
        "users": user,
        "invitations": invitation,
        "admin-keys": admin_key,
        "verifier-keys": verifier_key,
        "service-accounts": account,
        "external-owners": external,
        "webhooks": webhook,
        "decisions": decision,
        "access-requests": asked.json()["id"],
        "ended": ended,
        "decoy": decoy,
    }


def _renamed(fields: dict[str, Any] | None, name: str) -> dict[str, Any] | None:
    names = ("name", "label", "role_name", "note")
    if isinstance(fields, dict):
        return {
            key: name if key in names else _renamed(value, name) for key, value in fields.items()
        }
    return [_renamed(each, name) for each in fields] if isinstance(fields, list) else fields


def every_page(ids: dict[str, str], *, search: str = "nothing") -> list[str]:
    """The address of every page that opens without a link from a mail."""
    found = []
    for method, path in page_routes():
        if method != "GET" or "{token}" in path or "/static/" in path or "export" in path:
            continue
        kind = next((part for part in path.split("/")[::-1] if part in ids), "")
        found.append(re.sub(r"\{\w+\}", ids.get(kind, "x"), path))
    token = ids["access-tokens"]
    return [
        *found,
        f"/access-tokens/{ids['ended']}",
        f"/access-tokens/{ids['decoy']}",
        f"/access-tokens/{ids['decoy']}/edit",
        f"/access-tokens/{token}/explain?permission=charges:create",
        f"/access-tokens/new?replace={token}",
        f"/access-tokens?q={search}",
        "/access-tokens?status=any",
        f"/company/users?q={search}",
        f"/search?q={search}",
        f"/audit-log?person={search}",
        f"/audit-log?token={search}",
        f"/audit-log?person={ids['users']}",
        f"/audit-log?token={token}",
        f"/audit-log?subject={ids['roles']}",
        "/authentications?user=all",
        f"/authentications?user={ids['users']}",
    ]
