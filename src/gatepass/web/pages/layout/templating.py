"""Renders pages: autoescaping on, undefined names are errors, security headers added."""

from typing import Any

from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gatepass.core.networks import InvalidNetwork
from gatepass.registry.audit.sentences import elapsed
from gatepass.registry.storage.paging import COUNT_LIMIT
from gatepass.web.pages.layout import navigation
from gatepass.web.pages.layout.headers import security_headers
from gatepass.web.pages.layout.problem_summary import ProblemSummary
from gatepass.web.pages.layout.static_files import imported_by, static
from gatepass.web.pages.layout.theme import theme
from gatepass.web.pages.text import wording
from gatepass.web.pages.text.confirmation import confirmation_text
from gatepass.web.pages.text.people_text import FILTERS, event_sentence
from gatepass.web.pages.text.times import worded_time
from gatepass.web.pages.widgets.network_diagram import network_diagram
from gatepass.web.pages.widgets.network_rows import joined
from gatepass.web.pages.widgets.sparkline import sparkline
from gatepass.web.pages.widgets.sync_status import lease_bar, receipt_row
from gatepass.web.times import format_time

#: The dashboard's templates.
PAGES = PackageLoader("gatepass.web.pages")

# The context of every page, unless it is given.
_DEFAULTS: dict[str, Any] = {"unconfirmed": False}


def render(name: str, status: int = 200, *, visitor: Any, now: int, **context: Any) -> HTMLResponse:
    """The page of template *name*.

    Args:
        visitor: the ``Visitor``; None if no one is signed in.
        now: Unix ms; relative times are relative to it.
        context: what else the template names.
    """
    text = _environment.get_template(name).render(
        {
            **_DEFAULTS,
            "visitor": visitor,
            "now": now,
            "problem_summary": ProblemSummary(
                status, asks=visitor is not None and not visitor.sent
            ),
            **context,
        }
    )
    response = HTMLResponse(text, status)
    security_headers(response)
    return response


def _with_bits(address: str, bits: str) -> str:
    """The network in a row's two fields; "" if both contain bits."""
    try:
        return joined(address, bits)
    except InvalidNetwork:
        return ""


def page_environment(loader: BaseLoader) -> Environment:
    """A Jinja environment with what the dashboard's templates use."""
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS, sentence_case=wording.sentence_case)
    environment.globals.update(
        can=wording.can,
        role_can=wording.role_can,
        where=wording.where,
        count_limit=COUNT_LIMIT,
        counted=wording.counted,
        listed=wording.listed,
        elapsed=elapsed,
        some=wording.some,
        lease_bar=lease_bar,
        navigation=navigation,
        preloaded=imported_by,
        network_diagram=network_diagram,
        receipt_row=receipt_row,
        rfc_3339=format_time,
        sparkline=sparkline,
        static=static,
        theme=theme,
        worded_time=worded_time,
        address_with_bits=_with_bits,
        confirmation_text=confirmation_text,
        event_sentence=event_sentence,
    )
    return environment


_environment = page_environment(PAGES)
