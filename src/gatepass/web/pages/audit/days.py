"""The lines of an audit log by day, runs of equal events folded into one line.

The days are those of UTC; ``times.js`` moves lines to the days of the viewer's time zone. Only the
events of one page are folded, so that a page is as fast to find as without.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from gatepass.registry.audit.events import AuditEvent
from gatepass.registry.audit.runs import marked_run, runs
from gatepass.registry.audit.sentences import marked_parts, marked_subject
from gatepass.web.pages.text.people_text import isolate_names
from gatepass.web.pages.text.times import DAY

_LINKED = Markup('<a class="which" href="{}">{}</a>')
_NAMED = Markup('<b class="which">{}</b>')
#: The address of an event's record, or "".
PageOf = Callable[[AuditEvent], str]


@dataclass(frozen=True)
class Line:
    """One line of the log.

    Attributes:
        events: one event, or those of a run, newest first.
        sentence: who did what to which record, in elements of these classes.
        address: where all of them came from; None if it is unknown or differs.
        lines: of a run, a line for each event.
    """

    events: Sequence[AuditEvent]
    sentence: Markup
    address: str | None
    lines: Sequence["Line"] = ()

    @property
    def event(self) -> AuditEvent:
        """Its newest event."""
        return self.events[0]


@dataclass(frozen=True)
class LogDay:
    """A day that has events; *at* is the time of the newest (Unix ms)."""

    at: int
    lines: Sequence[Line]


def days(events: Sequence[AuditEvent], page_of: PageOf) -> Iterator[LogDay]:
    """The days of *events*, which are newest first."""
    for _, group in groupby(events, key=lambda event: event.at // DAY):
        its = list(group)
        yield LogDay(its[0].at, [_line(run, page_of) for run in runs(its)])


def _line(run: Sequence[AuditEvent], page_of: PageOf) -> Line:
    first = run[0]
    if len(run) == 1:
        return Line(run, event_line(first, page_of(first)), first.address)
    who, what = marked_run(run)
    addresses = {event.address for event in run}
    return Line(
        run,
        _joined(who, isolate_names(what)),
        first.address if len(addresses) == 1 else None,
        [_line([event], page_of) for event in run],
    )


def event_line(event: AuditEvent, href: str) -> Markup:
    """The sentence of *event*, with its record as a link to *href*, unless that is ""."""
    who, what = marked_parts(event)
    before, subject, after = what.partition(marked_subject(event))
    if not subject:
        return _joined(who, isolate_names(what))
    name = isolate_names(subject)
    which = _LINKED.format(href, name) if href else _NAMED.format(name)
    return _joined(who, isolate_names(before) + which + isolate_names(after))


def _joined(who: str, what: Markup) -> Markup:
    if not who:
        return what
    return Markup('<span class="who">{}</span> {}').format(isolate_names(who), what)
