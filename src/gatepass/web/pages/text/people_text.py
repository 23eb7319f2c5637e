"""Template filters for text that people typed: each isolates it, so that bidirectional characters
in it can't reorder the text around it.

Every template passes names, labels, notes and search terms through one of these filters;
``tests/pages/test_people_text.py`` opens every page with hostile ones to check that.
"""

from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from gatepass.core.display_text import isolated, marked_text, readable, without_bidi_controls
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.sentences import marked_sentence

_NO_LABEL = "(no label)"


def name(text: str) -> Markup:
    """A name in an element of its own; ``(no name)`` if it has no visible character."""
    return _element(readable(text))


def label(text: str) -> Markup:
    """A label in an element of its own; ``(no label)`` if it has no visible character."""
    return _element(readable(text, _NO_LABEL))


def isolate(text: Any) -> Markup:
    """Any other text, such as a note or a search term. Empty text stays empty."""
    plain = without_bidi_controls(str(text))
    return _element(plain) if plain else Markup()


def name_text(text: str) -> str:
    """A name where no element is possible: in an attribute, a page's title, an option."""
    return isolated(text)


def label_text(text: str) -> str:
    """A label where no element is possible."""
    return isolated(text, _NO_LABEL)


def isolate_names(sentence: str) -> Markup:
    """A sentence whose parts marked by ``core.display_text.marked`` become elements."""
    parts = marked_text.split(sentence)
    return Markup().join(
        _element(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def event_sentence(event: AuditEvent) -> Markup:
    """An audit event as a sentence."""
    return isolate_names(marked_sentence(event))


def _element(text: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(text)


FILTERS: dict[str, Callable[..., Any]] = {
    "name": name,
    "label": label,
    "isolate": isolate,
    "name_text": name_text,
    "label_text": label_text,
    "isolate_names": isolate_names,
}
