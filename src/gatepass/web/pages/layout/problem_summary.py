"""What keeps a form from being saved, gathered while its page is rendered.

The macros that show a message beside its field also note it here (``_field.html``,
``_notice.html``). So every form's page begins with one summary, with a link to each field, and no
form lists its fields twice.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from gatepass.web.pages.layout.form_state import NotSaved
from gatepass.web.pages.text.wording import counted

# The names of fields by their ids, where the id doesn't say it.
_NAMES = {
    "code": "Two-factor code",
    "current": "Current password",
    "email": "E-mail address",
    "expire": "Expire In",
    "networks": "IP addresses",
    "new": "New password",
    "number": "Number of tokens",
    "password": "Password",
    "typed-label": "Label",
    "typed-name": "Name",
    "unused_days": "End when unused",
    "url": "URL",
}
#: The most fields that are listed.
_MOST = 10
_ROWS = {"network": "IP address", "domain": "Domain", "metadata": "Metadata row"}
_row = re.compile(r"(network|domain|metadata)-([0-9]+)", re.ASCII).fullmatch


@dataclass(frozen=True)
class FieldProblem:
    """One message: ``Permissions: must have at least one.``

    Attributes:
        target: the id of the element that the summary links to.
    """

    target: str
    words: str


@dataclass
class ProblemSummary:
    """The problems of the page that is being rendered.

    Attributes:
        status: of the answer.
        asks: whether the page answers a question, which saves nothing.
        fields: those of fields; lines: those of lines in one field.
        form: the messages about the form as a whole.
    """

    status: int
    asks: bool = False
    fields: list[FieldProblem] = field(default_factory=list)
    lines: list[FieldProblem] = field(default_factory=list)
    form: list[str] = field(default_factory=list)

    def note_field(self, id: str, message: str, name: str = "") -> str:
        """Note the message of a field; returns "", for templates."""
        noted = FieldProblem(f"{id}-problem", f"{name or field_name(id)}: {_continued(message)}")
        if noted not in self.fields:
            self.fields.append(noted)
        return ""

    def note_lines(self, id: str, messages: Iterable[str]) -> str:
        """Note the messages of lines in the field with this id; returns "", for templates."""
        self.lines += [FieldProblem(id, message) for message in messages]
        return ""

    def note_form(self, message: str) -> str:
        """Note a message about the form as a whole; returns "", for templates."""
        if message not in self.form:
            self.form.append(message)
        return ""

    def __bool__(self) -> bool:
        return bool(self.fields or self.form)

    @property
    def listed(self) -> list[FieldProblem]:
        """The messages with links; at most ten of fields."""
        return self.fields[:_MOST] + self.lines

    @property
    def unlisted(self) -> int:
        """The number of fields that aren't listed."""
        return max(0, len(self.fields) - _MOST)

    @property
    def is_ours(self) -> bool:
        """Whether the server failed, rather than the input."""
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def can_retry(self) -> bool:
        """Whether to offer sending the form again as it is."""
        return any(isinstance(message, NotSaved) for message in self.form)

    @property
    def heading(self) -> str:
        """The heading; "" if the form's own message says it all."""
        if self.can_retry:
            return "Not saved: the server is busy"
        if not self.fields or self.is_ours:
            return ""
        fields = counted(len(self.fields), "field")
        what = f"{fields} {'needs' if len(self.fields) == 1 else 'need'} your attention."
        # With 200, a button was pressed that doesn't save.
        return what if self.asks or self.status == HTTPStatus.OK else f"Not saved: {what}"


def field_name(id: str) -> str:
    """The name of the field with this id, in words."""
    row = _row(id)
    if row is not None:
        return f"{_ROWS[row[1]]} {int(row[2]) + 1}"
    return _NAMES.get(id) or _NAMES.get(id.rpartition("-")[2]) or _spaced(id).capitalize()


def _spaced(id: str) -> str:
    return id.replace("-", " ").replace("_", " ")


def _continued(message: str) -> str:
    """*message* after a colon: house style begins most of them with Must."""
    return message[0].lower() + message[1:] if message.startswith("Must ") else message
