"""Lists as files: CSV for spreadsheets and JSON Lines, streamed page by page.

Memory use doesn't depend on the length of the list. A client that disconnects ends it.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from starlette.responses import StreamingResponse

from gatepass.web.api.csv_cells import csv_cell

T = TypeVar("T")

FileFormat = Literal["csv", "jsonl"]
_MEDIA_TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
#: The content of an answer, for the OpenAPI document.
CONTENT: dict[str, Any] = {
    kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/x-ndjson")
}
# JSON allows these unescaped, but many parsers of JSON Lines take each for the end of a line.
_LINE_ENDS = {ord(sign): f"\\u{ord(sign):04x}" for sign in "\x85\u2028\u2029"}


@dataclass(frozen=True)
class ListFile(Generic[T]):
    """A kind of file.

    Attributes:
        name: the beginning of its name.
        columns: of CSV: the text of each cell, None if it is empty.
        record: the object of a line of JSON Lines.
    """

    name: str
    columns: Mapping[str, Callable[[T], str | None]]
    record: Callable[[T], BaseModel]

    def response(
        self, pages: Iterable[list[T]], format: FileFormat, now: int, **headers: str
    ) -> StreamingResponse:
        """The file to download.

        Args:
            now: Unix ms; its day is in the file's name.
            headers: further ones of the answer.
        """
        lines = self._as_csv(pages) if format == "csv" else self._as_json_lines(pages)
        name = f"{self.name}-{datetime.fromtimestamp(now / 1000, UTC).date()}.{format}"
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return StreamingResponse(
            lines,
            media_type=_MEDIA_TYPES[format],
            headers={**disposition, "Cache-Control": "no-store", **headers},
        )

    def _as_csv(self, pages: Iterable[list[T]]) -> Iterator[str]:
        """RFC 4180, with a byte order mark, by which spreadsheets recognize UTF-8."""
        yield "\ufeff" + _lines([list(self.columns)])
        for page in pages:
            yield _lines(
                [csv_cell(read(item) or "") for read in self.columns.values()] for item in page
            )

    def _as_json_lines(self, pages: Iterable[list[T]]) -> Iterator[str]:
        for page in pages:
            lines = (self.record(item).model_dump_json().translate(_LINE_ENDS) for item in page)
            yield "".join(f"{line}\n" for line in lines)


def _lines(rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()
