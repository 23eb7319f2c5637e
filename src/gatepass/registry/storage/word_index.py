"""Search for any part of a text by an index of its words, with the same results on both engines.

One table holds the words of each record's texts, newest first, with the text that follows each.
Another holds the vocabulary: each word once, under each of its ends. So a search is two steps, and
neither reads what doesn't match: the vocabulary names the words in which a match may begin, and
those lead to the records.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Table, and_, delete, func, select, true

from gatepass.registry.input.words import PART_LENGTH, REST_LENGTH, parts_of, runs, words_of
from gatepass.registry.storage import tables
from gatepass.registry.storage.database import Reading, Write
from gatepass.registry.storage.rows import insert_missing
from gatepass.registry.storage.scans import MANY, Scan, Way, size

#: The most words that a search follows to their records.
_MOST_WORDS = 1_000
#: The most words that have an ordered scan each.
_FEW_WORDS = 8


@dataclass(frozen=True)
class WordIndex:
    """The words of some texts of records.

    Attributes:
        records: the table of the records.
        words, parts: of ``tables``.
    """

    records: Table
    words: Table
    parts: Table

    def add(
        self, write: Write, company: str, record: str, created_at: int, texts: Iterable[str]
    ) -> None:
        """Index the texts of a new record. They must be folded."""
        self.add_each(write, company, created_at, {record: texts})

    def add_each(
        self, write: Write, company: str, created_at: int, texts: Mapping[str, Iterable[str]]
    ) -> None:
        """Index the texts of new records, by their ids. They must be folded."""
        self._add(
            write, company, created_at, {record: words_of(its) for record, its in texts.items()}
        )

    def replace(
        self,
        write: Write,
        company: str,
        record: str,
        created_at: int,
        *,
        before: Iterable[str],
        after: Iterable[str],
    ) -> None:
        """Index the texts *after* of a record in place of the texts *before*."""
        former, new = words_of(before), words_of(after)
        table = self.words.c
        for word, rest in former - new:
            write.session.execute(
                delete(self.words).where(
                    table.company_id == company,
                    table.word == word,
                    table.created_at == created_at,
                    table.id == record,
                    table.rest == rest,
                )
            )
        # The vocabulary keeps words that no record has any more: they lead nowhere.
        self._add(write, company, created_at, {record: new - former})

    def find(self, reading: Reading, company: str, q: str) -> "Found":
        """Where the index has records whose texts contain *q*, which must be folded."""
        start = next(iter(runs(q)), "")
        rest = q[len(start) :]
        if start <= " ":
            return Found(self, company, start, rest, [], False)
        part = start[:PART_LENGTH]
        table = self.parts.c
        condition = table.part == part if rest else beginning_with(table.part, part)
        known = reading.session.scalars(
            select(table.word).where(table.company_id == company, condition).limit(_MOST_WORDS + 1)
        ).all()
        fits = str.endswith if rest else str.__contains__
        # A word may have the part more than once.
        words = sorted({word for word in known[:_MOST_WORDS] if fits(word, start)})
        return Found(self, company, start, rest, words, len(known) <= _MOST_WORDS)

    def _add(
        self,
        write: Write,
        company: str,
        created_at: int,
        words: Mapping[str, Iterable[tuple[str, str]]],
    ) -> None:
        rows = [
            {
                "company_id": company,
                "word": word,
                "created_at": created_at,
                "id": record,
                "rest": rest,
            }
            for record, its in words.items()
            for word, rest in its
        ]
        vocabulary = [
            {"company_id": company, "part": part, "word": word}
            for word in {row["word"] for row in rows}
            for part in parts_of(str(word))
        ]
        insert_missing(write, self.words, rows)
        insert_missing(write, self.parts, vocabulary)


@dataclass(frozen=True)
class Found:
    """The words in which a match of a search may begin.

    Attributes:
        words: some of them.
        complete: whether these are all. There may be too many of them.
    """

    index: WordIndex
    company: str
    start: str
    rest: str
    words: list[str]
    complete: bool

    def way(
        self,
        reading: Reading,
        which: Sequence[ColumnElement[bool]],
        contains_q: ColumnElement[bool],
    ) -> Way | None:
        """The way to the records that match.

        None if there are too many words to follow: then matches are frequent, and a walk over all
        records finds some soon.

        Args:
            which: further conditions of the records.
            contains_q: a condition of the records: one of the texts contains what is searched for.
        """
        if not self.complete:
            return None
        if not self.words:
            return Way([], 0)
        all_words = self._all(which, contains_q)
        rows = size(reading, [replace(all_words, which=())])
        if rows <= MANY:
            return Way([all_words], rows)
        if len(self.words) > _FEW_WORDS:
            return None
        return Way([self._one(word, all_words.which) for word in self.words], rows)

    def some(self, which: Sequence[ColumnElement[bool]], contains_q: ColumnElement[bool]) -> Scan:
        """A scan of some of the records that match, where there is no way to all."""
        if self.rest:
            return self._all(which, contains_q)
        return self._scan(beginning_with(self.index.words.c.word, self.start), which)

    def _all(self, which: Sequence[ColumnElement[bool]], contains_q: ColumnElement[bool]) -> Scan:
        exact = len(self.rest) <= REST_LENGTH
        return self._scan(
            self.index.words.c.word.in_(self.words), which if exact else (*which, contains_q)
        )

    def _one(self, word: str, which: Sequence[ColumnElement[bool]]) -> Scan:
        table = self.index.words.c
        by_rest = self._scan(table.word == word, which)
        if not self.rest:
            return replace(by_rest, few=False)
        rest = self.rest[:REST_LENGTH]
        # As an expression, it can't make the engine choose the other index and sort.
        follows = func.substr(table.rest, 1, len(rest)) == rest
        return replace(by_rest, range=[*by_rest.range[:2], follows], few=False, counted=by_rest)

    def _scan(self, word: ColumnElement[bool], which: Sequence[ColumnElement[bool]]) -> Scan:
        table = self.index.words.c
        conditions = [table.company_id == self.company, word]
        if self.rest:
            conditions.append(beginning_with(table.rest, self.rest[:REST_LENGTH]))
        return Scan(self.index.words, conditions, which, self.index.records, few=True, shared=True)


def beginning_with(text: ColumnElement[str], start: str) -> ColumnElement[bool]:
    """A condition: *text* begins with *start*, as a range of an index by code points."""
    after = _after(start)
    return and_(text >= start, text < after if after is not None else true())


def _after(start: str) -> str | None:
    """The least text that is greater than all that begin with *start*; None if there is none."""
    while start:
        code = ord(start[-1]) + 1
        if code == 0xD800:
            code = 0xE000
        if code <= 0x10FFFF:
            return start[:-1] + chr(code)
        start = start[:-1]
    return None


LABELS = WordIndex(tables.access_tokens, tables.access_token_words, tables.access_token_word_parts)
USER_NAMES = WordIndex(tables.users, tables.user_name_words, tables.user_name_word_parts)
USER_EMAILS = WordIndex(tables.users, tables.user_email_words, tables.user_email_word_parts)
OWNER_NAMES = WordIndex(tables.owners, tables.owner_name_words, tables.owner_name_word_parts)
