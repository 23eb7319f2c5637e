"""The request of a signed-in visitor, the node that answers it, and its pages."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import HTMLResponse

from gatepass.node.node import Node
from gatepass.registry.actor import Actor
from gatepass.registry.audit import log
from gatepass.registry.storage.database import Change, Reading
from gatepass.web.caller import node_of
from gatepass.web.pages.layout.errors import PageRoute
from gatepass.web.pages.layout.form_state import Difference, FormState, Meanwhile
from gatepass.web.pages.layout.templating import render
from gatepass.web.pages.layout.visitor import Visitor, visiting


@dataclass(frozen=True)
class Screen:
    """One request by a signed-in visitor."""

    visitor: Visitor
    node: Node

    @property
    def actor(self) -> Actor:
        """The visitor, as registry operations take them."""
        return self.visitor.actor

    @property
    def company(self) -> str:
        """The id of the visitor's company."""
        return self.actor.company or ""

    def now(self) -> int:
        """The node's time (Unix ms)."""
        return self.node.clock.now()

    def read(self) -> AbstractContextManager[Reading]:
        """A consistent reading of the database, as of now."""
        return self.node.database.read(self.now())

    def write(self) -> AbstractContextManager[Change]:
        """A transaction that commits as a whole, or not at all."""
        return self.node.database.write(self.now())

    def require(self, permission: str) -> None:
        """Require a signed-in user with *permission*.

        Raises:
            Forbidden: the visitor uses an access token, or lacks the permission.
        """
        self.actor.require_signed_in()
        self.actor.require(permission)

    def changed_meanwhile(
        self, subject: str, differences: Sequence[Difference], actions: Collection[str] = ()
    ) -> FormState:
        """The state of a form whose record *subject* (an id) was changed meanwhile.

        Args:
            actions: the audit actions that change what the form edits; empty for all.
        """
        with self.read() as reading:
            last = log.last_change(reading, self.actor.company, subject, actions)
        if last is None:
            return FormState(409, meanwhile=Meanwhile(None, None, differences))
        own = last.actor_id is not None and last.actor_id == self.actor.user
        meanwhile = Meanwhile(last.actor_name, last.at, differences, own)
        return FormState(409, meanwhile=meanwhile)

    def render(self, template: str, status: int = 200, **context: Any) -> HTMLResponse:
        """The page of *template*; *context* is what else the template names."""
        return render(template, status, visitor=self.visitor, now=self.now(), **context)

    def render_form(self, template: str, state: FormState, **context: Any) -> HTMLResponse:
        """The page of *template* with a form in *state*."""
        page = self.render(
            template,
            state.status,
            problems=defaultdict(str, state.problems),
            meanwhile=state.meanwhile,
            flash=state.flash,
            **context,
        )
        if state.retry_after:
            page.headers["Retry-After"] = str(state.retry_after)
        return page


def page_router() -> APIRouter:
    """An empty router whose errors are pages; the OpenAPI document leaves its routes out."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


def _screen(request: Request) -> Screen:
    return Screen(visiting(request), node_of(request))


#: The parameter of an endpoint for signed-in visitors.
CurrentScreen = Annotated[Screen, Depends(_screen)]
