"""Text that people typed, for templates: isolated, so that none reorders what stands around it.

Every template that shows a name, label, note or search term puts it through one of these filters;
``tests/pages/test_people_text.py`` opens every page with hostile ones and holds it to that.
"""

import unicodedata
from collections.abc import Callable
from typing import Any

from markupsafe import Markup, escape

from gatepass.core.display_text import (
    has_bidi_control,
    has_visible,
    isolated,
    marked_text,
    readable,
    without_bidi_controls,
)
from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.sentences import marked_sentence

_NO_LABEL = "(no label)"


def name(text: str) -> Markup:
    """A name as an element of its own; ``(no name)`` where there is nothing to see or click."""
    return _element(readable(text))


def label(text: str) -> Markup:
    """A label likewise."""
    return _element(readable(text, _NO_LABEL))


def isolate(text: Any) -> Markup:
    """Any other text: a note, a search term, an old value. Empty stays empty."""
    plain = without_bidi_controls(str(text))
    return _element(plain) if plain else Markup()


def name_text(text: str) -> str:
    """A name where no element can stand: in an attribute, a page's title, an option."""
    return isolated(text)


def label_text(text: str) -> str:
    """A label likewise."""
    return isolated(text, _NO_LABEL)


def isolate_names(sentence: str) -> Markup:
    """A sentence; what ``core.display_text.marked`` marked in it becomes elements of their own."""
    parts = marked_text.split(sentence)
    return Markup().join(
        _element(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )


def told(event: AuditEvent) -> Markup:
    """An audit event as a sentence."""
    return isolate_names(marked_sentence(event))


def to_type(text: str, id: str) -> str:
    """What confirms that a record is meant: its name, or its id where that can't be typed as it is
    shown."""
    return text.strip() if has_visible(text) and not has_bidi_control(text) else id


def is_typed(typed: str, text: str, id: str) -> bool:
    """Whether *typed* is ``to_type``, but for spaces and characters that leave no ink."""
    return _plain(typed) == _plain(to_type(text, id))


def _plain(text: str) -> str:
    inked = (sign for sign in text if unicodedata.category(sign) != "Cf")
    return unicodedata.normalize("NFC", " ".join("".join(inked).split()))


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
