"""Detection of confusable role names.

Names are compared by a skeleton: NFKC (which maps full-width and styled letters to plain ones),
case folded, without spaces and invisible characters, look-alike letters mapped to one.

Caught: ``ADMIN``, ``Ad min``, zero-width characters, Hangul fillers, full-width and mathematical
letters, the Cyrillic, Greek, Armenian and Latin letters of ``_LOOK_ALIKES``, ``l``, ``I``, ``|``
and ``1`` for ``i``, ``0`` for ``o``, ``rn`` for ``m`` and ``vv`` for ``w``; against the built-in
names also accents and other combining marks. Not caught: letters of other scripts, leetspeak such
as ``4dmin``, other words for the same thing (``Administrator``), and names that merely begin alike.
"""

import unicodedata
from collections.abc import Iterable

from gatepass.core.display_text import has_visible
from gatepass.registry.directory.role_records import Role

# By case, because upper and lower case resemble different letters: Ν is like N, but ν like v.
_LOOK_ALIKES = str.maketrans(
    {
        **dict(zip("АВЕЁЅІЇЈКМНОРСТУҮХԚԜ", "ABEESIIJKMHOPCTYYXQW", strict=True)),
        **dict(zip("авгеёзиѕіїјкмнопрстуүхьӏһԁԛԝ", "abreesusiijkmhonpctyyxbihdqw", strict=True)),
        **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
        **dict(zip("αβγεηικμνορτυχω", "abyenikuvoptuxw", strict=True)),
        **dict(zip("ՍՏՕաոսցօհ", "USOwnugoh", strict=True)),
        **dict(zip("ıɩɪɑᴀᴄᴅᴇɡɢʜᴊᴋᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ", "iiiaacdegghjkmnoprtuvwyz", strict=True)),
        **dict(zip("l|1ǀ∣!0", "iiiiiio", strict=True)),
    }
)


def look_alike(name: str, roles: Iterable[Role]) -> Role | None:
    """The first of *roles* that *name* could be confused with; None if there is none."""
    own, bare = _skeleton(name), _without_marks(_skeleton(name))
    for role in roles:
        theirs = _skeleton(role.name)
        if own == theirs or (role.built_in and bare == theirs):
            return role
    return None


def _skeleton(name: str) -> str:
    plain = unicodedata.normalize("NFKC", name).translate(_LOOK_ALIKES).casefold()
    plain = unicodedata.normalize("NFKC", plain)
    # A combining mark is invisible by itself, but changes the letter before it.
    return _one_letter("".join(sign for sign in plain if has_visible(sign) or _is_mark(sign)))


def _one_letter(plain: str) -> str:
    return plain.translate(_LOOK_ALIKES).replace("rn", "m").replace("vv", "w")


def _is_mark(sign: str) -> bool:
    return unicodedata.category(sign) in ("Mn", "Mc") and not _is_selector(sign)


def _is_selector(sign: str) -> bool:
    # Variation selectors, the grapheme joiner and Khmer inherent vowels are invisible marks.
    return sign in "\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f" or (
        "\ufe00" <= sign <= "\ufe0f" or "\U000e0100" <= sign <= "\U000e01ef"
    )


def _without_marks(skeleton: str) -> str:
    decomposed = unicodedata.normalize("NFD", skeleton)
    return _one_letter("".join(sign for sign in decomposed if not unicodedata.combining(sign)))
