"""Words of a text, as the search index stores them.

The index of an installation was made by these functions: changing one needs a migration that makes
it again.
"""

import re
from collections.abc import Iterable

#: How many characters are stored of the end of a word, and of the text after a word. What is longer
#: is compared where it is read.
PART_LENGTH, REST_LENGTH = 12, 16

# Not by Unicode's classes: a newer Python would cut the same text differently.
_runs = re.compile(r"[0-9]+|[\x00- ]+|[!-/:-@\[-`{-\x7f]+|[A-Za-z\x80-\U0010ffff]+").findall


def runs(text: str) -> list[str]:
    """*text* cut between digits, spaces, ASCII punctuation and all other characters."""
    return _runs(text)


def words_of(texts: Iterable[str]) -> set[tuple[str, str]]:
    """The words of *texts*, each with the beginning of the text that follows it.

    Every run but spaces is a word.
    """
    found = set()
    for text in texts:
        end = 0
        for run in runs(text):
            end += len(run)
            if run[0] > " ":
                found.add((run, text[end : end + REST_LENGTH]))
    return found


def parts_of(word: str) -> set[str]:
    """The ends of *word*, from each of its characters on, cut off."""
    return {word[start : start + PART_LENGTH] for start in range(len(word))}
