"""The pages of the records that audit events are about."""

from collections.abc import Collection

from gatepass.registry.actor import Actor, Subject

# By the kind of the subject: the path of its page, and the permission that opens it.
_PAGES = {
    "access_token": ("/access-tokens/{}", "access-tokens:get"),
    "user": ("/company/users/{}", "users:get"),
    "role": ("/company/roles/{}", "roles:get"),
    "invitation": ("/company/users/invitations", "users:manage"),
}


def page_of(subject: Subject, actor: Actor, roles: Collection[str]) -> str:
    """The address of the page about *subject*; "" if there is none that *actor* may open.

    Args:
        roles: the ids of the roles that still exist.
    """
    path, permission = _PAGES.get(subject.kind, ("", ""))
    gone = subject.kind == "role" and subject.id not in roles
    return path.format(subject.id) if path and not gone and actor.may(permission) else ""
