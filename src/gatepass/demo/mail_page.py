"""``/demo/mail``: shows the mails of the demo, which has no mail server and no real users."""

import os
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from gatepass.core.credentials import new_id
from gatepass.demo.templating import environment
from gatepass.mail.delivery import Outcome, PostKind, Write
from gatepass.web.caller import CurrentNode
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.headers import security_headers

DIRECTORY = "demo-mail"
_MOST_SHOWN = 100


@dataclass(frozen=True)
class StoredMail:
    """A mail as the page shows it. ``at`` is Unix ms; ``link`` is the link in its text."""

    name: str
    at: int
    to: str
    subject: str
    text: str
    link: str


class MailDirectory:
    """Delivers mail into a directory that all workers share."""

    kind: PostKind = "page"
    name = "the demo's mail page"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def deliver(self, sender: str, recipient: str, write: Write) -> Outcome:
        """Store the message that *write* returns."""
        message = write()
        if message is None:
            return Outcome("withdrawn")
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{new_id('mail')}.part"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(message.as_bytes())
        path.rename(path.with_suffix(".eml"))
        return Outcome("delivered")

    def stored(self) -> list[StoredMail]:
        """The stored mails, newest first."""
        files = [(file.stat().st_mtime_ns, file) for file in self._directory.glob("*.eml")]
        newest = sorted(files, reverse=True)[:_MOST_SHOWN]
        return [_read(file, at // 1_000_000) for at, file in newest]


def router(mail: MailDirectory) -> APIRouter:
    """The page's routes."""
    router = APIRouter(route_class=PageRoute, include_in_schema=False)

    @router.get("/demo/mail")
    def show_all(node: CurrentNode) -> Response:
        return _page(node, "mail.html", mails=mail.stored())

    @router.get("/demo/mail/{name}")
    def show_one(node: CurrentNode, name: str) -> Response:
        for stored in mail.stored():
            if stored.name == name:
                return _page(node, "one_mail.html", mail=stored)
        raise HTTPException(404)

    return router


def _page(node: CurrentNode, template: str, **context: object) -> Response:
    text = environment.get_template(template).render(**context, visitor=None, now=node.clock.now())
    return security_headers(HTMLResponse(text))


def _read(file: Path, at: int) -> StoredMail:
    message = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(message, EmailMessage)
    part = message.get_body(("plain",))
    text = "" if part is None else "\n".join(part.get_content().splitlines())
    link = next((line for line in text.split("\n") if line.startswith("http")), "")
    return StoredMail(file.stem, at, str(message["To"]), str(message["Subject"]), text, link)
