"""Static files as they are sent: the scripts of every page as one, no comments, no indentation.

A page then waits for one script, and for a fifth less of what is sent.

This module imports nothing of Gatepass: the build of the wheel loads it by itself.
"""

import re
from collections.abc import Mapping

import rjsmin

#: The scripts of every page, as one.
BUNDLE = "gatepass.js"
# Those that other scripts import, too; they get them from the bundle.
_SHARED = ("times.js", "fragments.js")
# The others, in the order in which they run, and the element without which one doesn't.
_PARTS = {
    "forms.js": "",
    "gatepass.js": "",
    "palette.js": "[data-palette]",
    "session.js": "[data-ending]",
}
_import = re.compile(r'^(import [^"\n]*)"\./([\w.-]+)";\n', re.MULTILINE)
# The same in a script as it is sent, where one import may follow another on its line.
_sent_import = re.compile(r'(?:^|;)import\b[^";]*"\./([\w.-]+)"', re.MULTILINE)
_block_comment = re.compile(r"/\*.*?\*/", re.DOTALL)
# Of texts that go over several lines: style sheets within scripts.
_indentation = re.compile(r"^\s+", re.MULTILINE)


def served(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """What is sent for the files *sources*, by name."""
    scripts = {name: each.decode() for name, each in sources.items() if name.endswith(".js")}
    others = {name: each for name, each in sources.items() if name not in scripts}
    joined = {name: each.encode() for name, each in _bundled(scripts).items()}
    return {name: minified(name, each) for name, each in sorted((joined | others).items())}


def minified(name: str, content: bytes) -> bytes:
    """The content of the file *name* without comments and indentation."""
    text = content.decode()
    if name.endswith(".js"):
        text = _indentation.sub("", str(rjsmin.jsmin(text)))
    elif name.endswith(".css"):
        text = " ".join(_block_comment.sub("", text).split())
        # No space around these in a style sheet counts, but in a selector the one before a colon.
        text = re.sub(" ?([{};,]) ?", r"\1", text).replace(": ", ":").replace(";}", "}")
    return text.encode()


def imported(script: bytes) -> list[str]:
    """The names of the scripts that *script*, as it is sent, imports."""
    return _sent_import.findall(script.decode())


def _bundled(scripts: Mapping[str, str]) -> dict[str, str]:
    shared = [_import.sub("", scripts[name]) for name in _SHARED]
    parts = [_part(_import.sub("", scripts[name]), needs) for name, needs in _PARTS.items()]
    others = {
        name: _import.sub(_from_bundle, text)
        for name, text in scripts.items()
        if name not in _SHARED and name not in _PARTS
    }
    return {BUNDLE: "".join((*shared, *parts)), **others}


def _part(text: str, needs: str) -> str:
    # A block has names of its own, like a module.
    return (f"if (document.querySelector({needs!r})) " if needs else "") + f"{{\n{text}}}\n"


def _from_bundle(found: re.Match[str]) -> str:
    name = BUNDLE if found[2] in (*_SHARED, *_PARTS) else found[2]
    return f'{found[1]}"./{name}";\n'
