"""The pages of the records that audit events are about."""

from collections.abc import Collection

from gatepass.registry.actor import Actor, Subject
from gatepass.web.pages.layout.navigation import EXTERNAL_OWNERS, SERVICE_ACCOUNTS, WEBHOOKS

# By the kind of the subject: the path of its page, and the permission that opens it. An owner that
# isn't a person is told by its id, and has no page but the list.
_PAGES = {
    "access_token": ("/access-tokens/{}", "access-tokens:get"),
    "user": ("/company/users/{}", "users:get"),
    "role": ("/company/roles/{}", "roles:get"),
    "invitation": ("/company/users/invitations", "users:manage"),
    "access_request": ("/access-requests/{}", "access-tokens:get"),
    "webhook": (WEBHOOKS.path, "company:webhooks"),
    "svc": (f"{SERVICE_ACCOUNTS.path}?status=any&q={{}}", "service-accounts:manage"),
    "ext": (f"{EXTERNAL_OWNERS.path}?status=any&q={{}}", "service-accounts:manage"),
}


def page_of(subject: Subject, actor: Actor, roles: Collection[str]) -> str:
    """The address of the page about *subject*; "" if there is none that *actor* may open.

    Args:
        roles: the ids of the roles that still exist.
    """
    kind = subject.id.partition("_")[0] if subject.kind == "owner" else subject.kind
    path, permission = _PAGES.get(kind, ("", ""))
    gone = subject.kind == "role" and subject.id not in roles
    return path.format(subject.id) if path and not gone and actor.may(permission) else ""
