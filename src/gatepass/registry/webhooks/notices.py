"""The content of the mail about a paused webhook."""

from dataclasses import dataclass

from sqlalchemy import select

from gatepass.registry.storage.database import Reading
from gatepass.registry.storage.tables import companies, users, webhooks
from gatepass.registry.webhooks.urls import host_of


@dataclass(frozen=True, slots=True)
class Letter:
    """The content of the mail.

    Attributes:
        gone: whether the receiver answered 410; else an event failed for three days.
    """

    webhook: str
    host: str
    gone: bool
    user_name: str
    company_name: str


def letter(reading: Reading, subject: str) -> Letter | None:
    """The content of the mail to an administrator; None if the webhook isn't paused any more.

    Args:
        subject: the mail's, from the queue: the ids of the webhook and the user.
    """
    webhook, _, user = subject.partition(":")
    row = reading.session.execute(
        select(
            webhooks.c.id,
            webhooks.c.url,
            webhooks.c.paused_because,
            users.c.name.label("user_name"),
            companies.c.name.label("company_name"),
        )
        .join(companies, companies.c.id == webhooks.c.company_id)
        .join(users, users.c.company_id == companies.c.id)
        .where(webhooks.c.id == webhook, users.c.id == user, users.c.deactivated_at.is_(None))
    ).one_or_none()
    if row is None or row.paused_because not in ("failing", "gone"):
        return None
    gone = row.paused_because == "gone"
    return Letter(row.id, host_of(row.url), gone, row.user_name, row.company_name)
