"""``gatepass token``."""

import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from gatepass.cli.installation import opened
from gatepass.cli.key_file import read_key_file
from gatepass.core.errors import InvalidInput
from gatepass.core.imported_keys import of_digest
from gatepass.registry.directory import users
from gatepass.registry.storage import tables
from gatepass.registry.storage.ended_log import Revocation
from gatepass.registry.tokens import access_tokens
from tests.support.token_fields import FIRST, shown_words

NIGHTLY = "Nightly [bold]settlement[/bold]"


@pytest.fixture
def token(installed: Any) -> str:
    """The text of Ada's token."""
    return make(NIGHTLY, networks=["203.0.113.0/24"])


def make(*labels: str, **fields: Any) -> str:
    """Create a token with each label at the same time; the last one's text."""
    text = ""
    with opened() as node, node.database.write(node.clock.now()) as change:
        ada = users.by_email(change, "ada@acme.example")
        assert ada is not None
        for label in labels:
            _, text = access_tokens.create(
                change,
                users.on_behalf_of(change, ada.id),
                catalogue=node.catalogue,
                **{
                    "label": label,
                    "kind": "api",
                    "permissions": ["access-tokens:get"],
                    **fields,
                },
            )
    return text


def allowed(text: str) -> bool:
    with opened() as node:
        permission = "access-tokens:get"
        return node.verifier.check(text, permission=permission, address="203.0.113.9").allowed


def test_a_token_is_listed_and_shown_without_its_text(installed: Any, token: str) -> None:
    id = token[:21]
    for arguments in (("list",), ("show", id), ("list", "--json"), ("show", id, "--json")):
        said = installed("token", *arguments)
        assert said.code == 0
        assert id in said.out
        assert token not in said.out
        assert NIGHTLY in said.out, "labels are shown as they are, markup and all"
    shown = installed("token", "show", id).out
    for words in ("Acme", "active", "203.0.113.0/24", "access-tokens:get", "never", "ada"):
        assert words in shown


def test_every_field_is_shown(installed: Any) -> None:
    fields = {**FIRST, "permissions": ["access-tokens:get"]}
    shown = installed("token", "show", make("", **fields, kind="ui")[:21]).out
    assert [word for word in shown_words(fields) if word not in shown] == []


def test_labels_cannot_reorder_the_terminal(installed: Any, token: str) -> None:
    """Older releases accepted bidirectional controls; JSON has them escaped."""
    id, label = token[:21], "x\u202eyl\u2066thgiN\x9b31m"
    with opened() as node, node.database.write(node.clock.now()) as change:
        change.session.execute(update(tables.access_tokens).values(label=label))
    said = [installed("token", *arguments) for arguments in (("list",), ("show", id))]
    said += [installed("token", *arguments, "--json") for arguments in (("list",), ("show", id))]
    assert json.loads(said[-1].out)["label"] == label
    said.append(installed("token", "deactivate", id))
    for each in said:
        assert each.code == 0
        assert not set("\u202e\u2066\x9b") & set(each.out + each.err)


def test_json_is_what_the_rest_api_sends(installed: Any, token: str) -> None:
    record = json.loads(installed("token", "show", token[:21], "--json").out)
    assert set(record) >= {
        *("id", "label", "kind", "status", "permissions", "effective_permissions", "networks"),
        *("domains", "expires_at", "created_at", "created_by", "deactivated_at"),
        *("deactivated_by", "last_used"),
    }
    assert json.loads(installed("token", "list", "--json").out) == {"items": [record], "next": None}


def test_deactivation_is_immediate_and_idempotent(installed: Any, token: str) -> None:
    id = token[:21]
    assert allowed(token)
    said = installed("token", "deactivate", id)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"{id} ({NIGHTLY}) is deactivated.\n"
    assert not allowed(token)
    first = json.loads(installed("token", "show", id, "--json").out)
    again = json.loads(installed("token", "deactivate", id, "--json").out)
    assert again == first
    assert again["status"] == "deactivated"
    assert again["deactivated_at"]


def test_a_rotation_prints_the_new_text_alone(installed: Any, token: str) -> None:
    id = token[:21]
    said = installed("token", "rotate", id, "--close", "after", "--after", "60")
    text = said.out.strip()
    assert (said.code, text[:5], len(text)) == (0, "gpat_", 59)
    assert said.err == f"{text[:21]} ({NIGHTLY}) replaces {id}.\n"
    assert allowed(token)
    assert allowed(text)
    for which, words in ((id, ("Replaced by", text[:21])), (text[:21], ("Replaces", id))):
        shown = installed("token", "show", which).out
        assert [word for word in words if word not in shown] == []
    again = installed("token", "rotate", id)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"gatepass: This token was replaced by {text[:21]} already.\n"
    made = installed("token", "rotate", text[:21], "--close", "when-silent", "--json")
    assert json.loads(made.out)["token"][:21] == json.loads(made.out)["id"]
    shown = installed("token", "show", text[:21]).out
    assert "when silent, at the latest 20" in shown
    assert "Still used from" in shown
    assert installed("token", "rotate", json.loads(made.out)["id"], "--after", "9").code == 1


def test_lists_are_complete_without_a_limit(installed: Any, token: str) -> None:
    """Otherwise ``grep`` would miss tokens on later pages."""
    make(*(f"number {number}" for number in range(205)))
    make("the latest")
    items = json.loads(installed("token", "list", "--json").out)["items"]
    assert (len(items), len({item["id"] for item in items})) == (207, 207)
    assert (items[0]["label"], items[-1]["label"]) == ("the latest", NIGHTLY)
    assert (
        json.loads(installed("token", "list", "--limit", "2", "--json").out)["items"] == items[:2]
    )
    assert installed("token", "list").out.count("\n") == 208, "a row is a line, however long"
    for wrong in ("0", "-1", "99999999999999999999"):
        assert installed("token", "list", "--limit", wrong).code == 2, wrong


def test_search_and_status_narrow_the_list(installed: Any, token: str) -> None:
    make("another")
    installed("token", "deactivate", token[:21])

    def labels(*options: str) -> list[str]:
        items = json.loads(installed("token", "list", "--json", *options).out)["items"]
        return [item["label"] for item in items]

    assert labels("--search", "NIGHTLY") == [NIGHTLY]
    assert labels("-q", token[:21]) == [NIGHTLY]
    assert labels("--status", "active") == ["another"]
    assert labels("--status", "deactivated") == [NIGHTLY]
    said = installed("token", "list", "--status", "odd")
    assert (said.code, said.err.count("\n")) == (2, 4)


@pytest.mark.parametrize("id", ["gpat_0000000000000000", "", "x" * 10_000, "gpat_\udcff", "'; --"])
@pytest.mark.parametrize("command", ["show", "deactivate"])
def test_an_unknown_token_is_one_line(installed: Any, command: str, id: str) -> None:
    said = installed("token", command, id)
    assert (said.code, said.out) == (1, "")
    assert said.err == "gatepass: There is no such access token.\n"


def test_labels_cannot_control_the_terminal(
    installed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any user can choose a label."""
    from gatepass.cli.output import print_facts, print_table

    print_table(("Label",), [("\x1b]0;owned\x07",)])
    print_facts([("Label", "\x1b[2Jgone")])
    said: Callable[..., Any] = installed("--version")
    assert "\x1b" not in said.out
    assert sys.stdout.isatty() is False


FOREIGN = "acme_live_0123456789abcdefghijklmnop"


def line(**fields: Any) -> str:
    given = {
        "sha256": sha256(FOREIGN.encode()).hexdigest(),
        "prefix": "acme_live_",
        "label": "From before",
        "permissions": ["access-tokens:get"],
        **fields,
    }
    return json.dumps(given) + "\n"


def test_a_file_of_keys_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Programs on Windows write one."""
    file = tmp_path / "keys.jsonl"
    file.write_text(line(), encoding="utf-8-sig")
    assert [number for number, _ in read_key_file(file)] == [1]
    file.write_text(line() + line(), encoding="utf-16")
    with pytest.raises(InvalidInput):
        read_key_file(file)


def test_a_key_that_ended_before_a_restore_is_not_imported_again(
    installed: Any, tmp_path: Path
) -> None:
    """The backup may be older than its import; ``ended.log`` is kept apart."""
    file = tmp_path / "keys.jsonl"
    file.write_text(line())
    id = of_digest(sha256(FOREIGN.encode()).digest()).id
    with opened() as node:
        node.ended_log.append([Revocation(1, "access_token", id, 1)])
    said = installed("token", "import", str(file), "--company", "Acme")
    assert said.code == 1
    assert said.err == (
        "gatepass: line 1: sha256: Must be a key that wasn't imported yet.\n"
        "gatepass: nothing was imported\n"
    )
    assert not allowed(FOREIGN)


def test_keys_of_another_system_are_imported(installed: Any, tmp_path: Path) -> None:
    file = tmp_path / "keys.jsonl"
    file.write_text("\n" + line(expires_at="2100-01-01T00:00:00+01:00"))
    assert not allowed(FOREIGN)
    said = installed("token", "import", str(file), "--company", "acme")
    assert (said.code, said.out, said.err) == (0, "", "1 key was imported for Acme.\n")
    assert allowed(FOREIGN)
    (listed,) = json.loads(installed("token", "list", "--json").out)["items"]
    assert (listed["imported"], listed["expires_at"]) == (True, "2099-12-31T23:00:00.000Z")
    assert "api, imported" in installed("token", "list").out
    assert "api, imported" in installed("token", "show", listed["id"]).out
    another = line(sha256="0" * 64)
    said = installed("token", "import", "-", "--company", "Acme", "--json", stdin=another)
    assert json.loads(said.out) == {"imported": 1}


def test_a_wrong_line_is_named_and_nothing_is_imported(installed: Any, tmp_path: Path) -> None:
    """Nothing of the file is repeated: a column may hold texts in place of digests."""
    file = tmp_path / "keys.jsonl"
    for content, errors in (
        (line() + line(sha256=FOREIGN), ["line 2: sha256: Must be 64 hexadecimal digits."]),
        (line(expires_at="2100-01-01"), ["line 1: expires_at: "]),
        (f'{{"{FOREIGN}": 1, "{FOREIGN}": 2}}\n', ["line 1: JSON: "]),
        (line(**{FOREIGN: 1}), ["line 1: fields: "]),
        (f"{FOREIGN}\n[]\n\xff\n", ["line 1: JSON: ", "line 2: JSON: ", "line 3: JSON: "]),
        ("", ["file: Must have 1 to 100,000 keys."]),
        (line(label="x" * 70_000), ["line 1: length: "]),
        (line() * 30, ["line 2: sha256: "] + ["line "] * 19),
    ):
        file.write_bytes(content.encode("latin-1"))
        said = installed("token", "import", str(file), "--company", "Acme")
        assert (said.code, said.out) == (1, "")
        *shown, last = said.err.splitlines()
        assert last.startswith("gatepass: nothing was imported")
        assert len(shown) == len(errors)
        for each, start in zip(shown, errors, strict=True):
            assert each.startswith(f"gatepass: {start}")
        assert FOREIGN not in said.err
    assert json.loads(installed("token", "list", "--json").out)["items"] == []
    for arguments, error in (
        ((str(file), "--company", "Nobody"), "no company"),
        ((str(tmp_path / "absent"), "--company", "Acme"), "can't be read"),
        ((str(file),), "--company"),
    ):
        said = installed("token", "import", *arguments)
        assert said.code in (1, 2)
        assert error in said.err.lower()
