"""``/company/security`` without scripts."""

import re
from typing import Any

from gatepass.registry.network_policy.allowlist import TRIAL_MS
from gatepass.registry.network_policy.allowlist_entries import Entry
from tests.support.apps.installation import Installation
from tests.support.browser.page_reader import Page, Visit

PATH = "/company/security"
HERE = ("127.0.0.0", "8", "This machine")
OFFICE = ("203.0.113.77", "24", "Office")
FROM_OFFICE = {"X-Forwarded-For": "203.0.113.9"}


def rows(*typed: tuple[str, str, str]) -> dict[str, list[str]]:
    names = ("network_address", "network_bits", "network_note")
    return {name: [row[at] for row in typed] for at, name in enumerate(names)}


def press(visit: Visit, page: Page, button: str, **changes: Any) -> Page:
    return visit.send(PATH, [*page.form(PATH).filled(**changes), ("do", button)])


def save(visit: Visit, *typed: tuple[str, str, str], button: str = "save") -> Page:
    return press(visit, visit.get(PATH), button, **rows(*typed))


def kept(visit: Visit, **options: Any) -> list[tuple[str, str, str]]:
    form = visit.get(PATH, **options).form(PATH)
    names = ("network_address", "network_bits", "network_note")
    return list(zip(*(form.all(name) for name in names), strict=True))


def test_rows_are_added_removed_and_saved(ada: Visit) -> None:
    page = ada.get(PATH)
    assert "You are at 127.0.0.1" in page.text
    assert "There is no list" in page.text
    assert "Users on VPNs or with dynamic IP addresses may be locked out" in page.text
    assert "gatepass allowlist clear --company 'Analytical Engines'" in page.text
    page = press(ada, page, "add_network", **rows(OFFICE))
    assert page.form(PATH).all("network_address") == ["203.0.113.77", ""]
    assert "203.0.113.0 – 203.0.113.255 · 256 addresses" in page.text
    page = press(ada, page, "add_my_network")
    page = press(ada, page, "remove_network_1")
    assert page.form(PATH).all("network_address") == ["203.0.113.77", "127.0.0.1"]
    assert page.form(PATH).all("network_note") == ["Office", ""]
    saved = press(ada, page, "save")
    assert saved.answer.headers["location"] == f"{PATH}?done=saved"
    page = ada.get(saved.answer.headers["location"])
    page.shows("Saved. The list is in effect.", "work only from 203.0.113.0/24 and 127.0.0.1/32")
    assert kept(ada) == [("203.0.113.0", "24", "Office"), ("127.0.0.1", "32", "")]


def test_removing_the_list_is_explained(ada: Visit) -> None:
    save(ada, HERE)
    page = press(ada, ada.get(PATH), "check", **rows(("", "", "")))
    page.shows("Saving removes the list", "Remove the list")
    lifted = press(ada, page, "save")
    assert lifted.answer.headers["location"] == f"{PATH}?done=lifted"
    assert "There is no list" in ada.get(PATH).text


def test_errors_are_shown_at_their_rows(ada: Visit) -> None:
    page = save(ada, ("300.1.2.3", "8", "Nowhere"), HERE, ("10.0.0.0", "33", ""), ("", "", "x"))
    assert page.answer.status_code == 422
    problems = {
        value["id"]: value for tag, value in page.elements if value.get("class") == "problem"
    }
    assert set(problems) == {f"network-{at}-problem" for at in (0, 2, 3)}
    page.shows("Not saved: 3 fields need your attention", "3 addresses aren't valid.")
    assert page.form(PATH).all("network_note") == ["Nowhere", "This machine", "", "x"]
    page = save(ada, ("", "", ""), ("127.0.0.1", "", "x" * 101))
    assert page.answer.status_code == 422
    assert "Must have at most 100 characters" in page.text
    assert ("p", "network-1-problem") in [(tag, of.get("id")) for tag, of in page.elements]
    assert kept(ada) == [("", "", "")]


def test_a_check_names_the_users_the_list_would_refuse(
    installation: Installation, ada: Visit
) -> None:
    installation.new_user("bob@example.com", "Bob Builder")
    installation.signed_in("bob@example.com", peer="198.51.100.1")
    page = press(ada, ada.get(PATH), "check", **rows(HERE))
    assert "would lock out 1 person active in the last 30 days. Show details" in page.text
    assert "Bob Builder signed in from 198.51.100.1" in page.text
    assert "Ada Lovelace signed in" not in page.text
    assert ("do", "save") in page.form(PATH).buttons
    part = press(ada, page, "reach", **rows(HERE, ("198.51.100.1", "", "")))
    assert "No one active in the last 30 days would be locked out" in part.text
    assert "<html" not in part.html
    assert "1 address isn't valid." in press(ada, page, "reach", **rows(("x", "", ""))).text
    assert kept(ada) == [("", "", "")]


def test_a_list_without_the_users_address_is_saved_on_trial_only(
    installation: Installation, ada: Visit
) -> None:
    save(ada, HERE)
    refused = save(ada, OFFICE)
    assert refused.answer.status_code == 409
    assert "This list locks you out. Your address, 127.0.0.1" in refused.text
    assert "it reverts to the previous list, 127.0.0.0/8." in refused.text
    assert ("do", "save") not in refused.form(PATH).buttons
    assert kept(ada) == [HERE]

    started = press(ada, refused, "trial")
    assert started.answer.status_code == 200
    assert "On trial until" in started.text
    assert "No page opens from your current address" in started.text
    assert "Do nothing. The list reverts in 10 min" in started.text
    assert "to the previous list, 127.0.0.0/8." in started.text
    assert ada.get(PATH).answer.status_code == 403

    inside = ada.get(PATH, headers=FROM_OFFICE)
    assert "This list is on trial until" in inside.text
    assert "to the previous list, 127.0.0.0/8." in inside.text
    assert "Keep this list" in inside.text
    installation.node.clock.offset_ns += TRIAL_MS * 1_000_000
    assert ada.get(PATH, headers=FROM_OFFICE).answer.status_code == 403
    assert kept(ada) == [HERE]
    assert "on trial until" not in ada.get(PATH).text


def test_saving_from_an_allowed_address_ends_the_trial(
    installation: Installation, ada: Visit
) -> None:
    save(ada, OFFICE, button="trial")
    fields = [*ada.get(PATH, headers=FROM_OFFICE).form(PATH).fields, ("do", "save")]
    assert ada.send(PATH, fields, headers=FROM_OFFICE).answer.status_code == 303
    installation.node.clock.offset_ns += 2 * TRIAL_MS * 1_000_000
    assert kept(ada, headers=FROM_OFFICE) == [("203.0.113.0", "24", "Office")]
    assert ada.get(PATH).answer.status_code == 403


def test_a_conflict_shows_both_versions(installation: Installation, ada: Visit) -> None:
    page = ada.get(PATH)
    installation.allow_only(Entry("127.0.0.0/8", "First"), Entry("10.0.0.0/8"))
    refused = press(ada, page, "save", **rows(HERE, ("10.0.0.0", "8", "")))
    assert refused.answer.status_code == 409
    assert "the command line saved changes" in refused.text
    assert "Only in this version 127.0.0.0/8 First 127.0.0.0/8 This machine" in refused.text
    assert kept(ada)[0] == ("127.0.0.0", "8", "First")
    assert press(ada, refused, "save").answer.status_code == 303
    assert kept(ada)[0] == HERE


def test_more_than_a_hundred_networks_are_edited_as_text(
    installation: Installation, ada: Visit
) -> None:
    page = press(ada, ada.get(PATH), "as_text", **rows(HERE, ("10.0.0.1", "", ""), ("", "", "")))
    assert "127.0.0.0/8 This machine\n10.0.0.1</textarea>" in page.html
    page = press(ada, page, "as_rows", text="127.0.0.0/8 This machine\n\nrubbish\n10.0.0.1")
    assert page.form(PATH).all("network_address") == ["127.0.0.0", "rubbish", "10.0.0.1"]

    many = [Entry(f"10.{at // 256}.{at % 256}.0/24", f"No {at}") for at in range(9_999)]
    installation.allow_only(Entry("127.0.0.0/8"), *many)
    page = ada.get(PATH)
    assert page.form(PATH).all("network_address") == []
    assert "10.39.14.0/24 # No 9998" in page.html
    text = "\n".join(["127.0.0.0/8 Here", *(f"{one.network}\t# {one.note}" for one in many)])
    assert (
        "Must be at most 100 networks to edit as rows"
        in press(ada, page, "as_rows", text=text).text
    )
    wrong = press(ada, page, "save", text=text.replace("10.0.2.0/24", "10.0.2.0/99"))
    assert wrong.answer.status_code == 422
    assert "Line 4: The number of bits to check" in wrong.text
    assert press(ada, page, "save", text=text).answer.status_code == 303
    assert "127.0.0.0/8 Here\n10.0.0.0/24 # No 0\n" in ada.get(PATH).html
    assert press(ada, ada.get(PATH), "save", text=text + "\n1.2.3.4").answer.status_code == 422


def texts(ada: Visit, text: str, button: str = "save") -> Page:
    page = press(ada, ada.get(PATH), "as_text")
    return press(ada, page, button, text=f"127.0.0.0/8\n{text}")


def test_ambiguous_lines_are_refused_by_number(ada: Visit) -> None:
    """Each refused line was once saved as one address with the rest as its note."""
    for line, network, note in (
        ("203.0.113.0 - 203.0.113.255", ("203.0.113.0", "24"), ""),
        ("203.0.113.4 /24 Office", ("203.0.113.0", "24"), "Office"),
        ("203.0.113.0 255.255.255.0", ("203.0.113.0", "24"), ""),
        ("203.0.113.0-203.0.113.127\tOffice", ("203.0.113.0", "25"), "Office"),
        ("203.0.113.4 ／24", ("203.0.113.0", "24"), ""),
        ("203.0.113.4 # 198.51.100.1 before", ("203.0.113.4", "32"), "198.51.100.1 before"),
    ):
        assert texts(ada, line).answer.status_code == 303, line
        assert kept(ada)[1:] == [(*network, note)]
        # The saved list can be saved again, whatever its note.
        again = press(ada, ada.get(PATH), "as_text")
        text = re.search(r"<textarea[^>]*>([^<]*)</textarea>", again.html)
        assert text is not None
        assert press(ada, again, "save", text=text[1]).answer.status_code == 303
        assert kept(ada)[1:] == [(*network, note)]
    before = kept(ada)
    for line, said in (
        ("203.0.113.0 198.51.100.0", "Put # before a note"),
        ("203.0.113.1 - 203.0.113.9", "must be a single network"),
        ("203.0.113.0 0.0.0.255", "Put # before a note"),
        ("203.0.113.0/0.0.0.255", "Must be 255.255.255.0"),
        ("203.0.113.0 24 Office", "Put # before a note"),
        ("198.51.100.4 \\24", "Put # before a note"),
        ("198.51.100.4 netmask 0xffffff00", "Put # before a note"),
        ("198.51.100.4 to .20", "Put # before a note"),
        ("2001:db8:5::1 prefixlen 64", "Put # before a note"),
        ("192.0.2.0/24 except 192.0.2", "Put # before a note"),
    ):
        refused = texts(ada, line)
        assert refused.answer.status_code == 422, line
        refused.shows("Line 2: ", said)
        assert kept(ada) == before


def test_rows_accept_the_notations_of_lines(ada: Visit) -> None:
    typed = [
        HERE,
        ("203.0.113.0 - 203.0.113.255", "", "Office"),
        ("198.51.100.0", "255.255.255.0", ""),
        ("192.0.2.0/255.255.255.128", "", ""),
        ("192.0.2.128", "/25", ""),
        ("10.0.0.0/8 Site, 3rd floor", "", ""),
    ]
    shown = press(ada, ada.get(PATH), "check", **rows(*typed))
    assert "203.0.113.0 – 203.0.113.255 · 256 addresses" in shown.text
    assert save(ada, *typed).answer.status_code == 303
    assert kept(ada)[1:] == [
        ("203.0.113.0", "24", "Office"),
        ("198.51.100.0", "24", ""),
        ("192.0.2.0", "25", ""),
        ("192.0.2.128", "25", ""),
        ("10.0.0.0", "8", "Site, 3rd floor"),
    ]
    before = kept(ada)
    for address, bits in (
        ("203.0.113.0 - 203.0.113.9", ""),
        ("203.0.113.0", "0.0.0.255"),
        ("203.0.113.0 netmask 255.255.255.0", ""),
        ("203.0.113.0 netmask 0xffffff00", ""),
        ("203.0.113.4 to .20", ""),
        ("203.0.113.4 to 203.0.113.20", ""),
        ("203.0.113.0/24 16", ""),
    ):
        refused = save(ada, HERE, (address, bits, ""))
        assert refused.answer.status_code == 422, address
        # The input is still one row.
        assert refused.form(PATH).all("network_address") == [HERE[0], address]
        assert kept(ada) == before


def test_lines_pasted_into_a_row_become_rows(ada: Visit) -> None:
    """A browser without scripts joins them. It could be a range, so it must be confirmed."""
    lines = ["203.0.113.0/24 Office", "198.51.100.4", "192.0.2.0 - 192.0.2.255 Home"]
    wanted = [("203.0.113.0/24", "", "Office"), ("198.51.100.4", "", "")]
    wanted.append(("192.0.2.0 - 192.0.2.255", "", "Home"))
    shown = save(ada, HERE, (" ".join(lines), "", ""))
    assert shown.answer.status_code == 422
    assert "One row contained several networks" in shown.text
    form = shown.form(PATH)
    names = ("network_address", "network_bits", "network_note")
    assert list(zip(*map(form.all, names), strict=True)) == [HERE, *wanted]
    assert press(ada, shown, "save").answer.status_code == 303
    assert kept(ada)[1:] == [
        ("203.0.113.0", "24", "Office"),
        ("198.51.100.4", "32", ""),
        ("192.0.2.0", "24", "Home"),
    ]
    # Separate lines are unambiguous.
    assert save(ada, HERE, ("\r\n".join(lines), "", "")).answer.status_code == 303
    assert len(kept(ada)) == 4
    # The button's row number no longer matches its row.
    page = press(ada, ada.get(PATH), "remove_network_1", **rows((" ".join(lines), "", ""), HERE))
    assert HERE[0] in page.form(PATH).all("network_address")


def test_my_network_is_the_64_prefix_of_an_ipv6_address(
    installation: Installation, ada: Visit
) -> None:
    here = {"X-Forwarded-For": "2001:db8:1:2:aaaa:bbbb:cccc:dddd"}
    tomorrow = {"X-Forwarded-For": "2001:db8:1:2:1111:2222:3333:4444"}
    page = ada.get(PATH, headers=here)
    page.shows("Add my network, 2001:db8:1:2::/64", "Your network is the first 64 bits")
    page = ada.send(PATH, [*page.form(PATH).fields, ("do", "add_my_network")], headers=here)
    assert page.form(PATH).all("network_address")[-1] == "2001:db8:1:2::"
    assert page.form(PATH).all("network_bits")[-1] == "64"
    saved = ada.send(
        PATH, [*page.form(PATH).fields[:1], *_last(page), ("do", "save")], headers=here
    )
    assert saved.answer.status_code == 303
    assert ada.get(PATH, headers=tomorrow).answer.status_code == 200
    page = ada.get("/access-tokens/new", headers=here)
    page.shows("Add my network, 2001:db8:1:2::/64", "Your network is the first 64 bits")
    # IPv4 needs no explanation.
    ada.send(
        PATH, [*ada.get(PATH, headers=here).form(PATH).fields[:1], ("do", "save")], headers=here
    )
    assert "64 bits" not in ada.get(PATH).text


def _last(page: Page) -> list[tuple[str, str]]:
    form = page.form(PATH)
    return [(name, form.all(name)[-1]) for name in ("network_address", "network_bits")]


def test_users_who_can_only_read_get_no_form(
    installation: Installation, ada: Visit, rita: Visit
) -> None:
    assert "work from any address" in rita.get(PATH).text
    save(ada, HERE)
    page = rita.get(PATH)
    page.shows("127.0.0.0 – 127.255.255.255 · 16,777,216 addresses", "This machine")
    assert PATH not in [form.action for form in page.forms]
    assert rita.send(PATH, [("do", "save")]).answer.status_code == 403
    token = Visit(installation.client(installation.access_token("company:*")))
    assert PATH not in [form.action for form in token.get(PATH).forms]
    assert token.send(PATH, [("do", "save")]).answer.status_code == 403
    installation.new_user("cs@example.com", role="customer-service")
    service = Visit.signed_in(installation.client(), "cs@example.com")
    assert service.get(PATH).answer.status_code == 403


def test_input_is_kept_when_the_sign_in_ends(ada: Visit) -> None:
    page = press(ada, ada.get(PATH), "resume", **rows(OFFICE))
    assert page.answer.status_code == 200
    assert page.form(PATH).all("network_address") == ["203.0.113.77"]
    assert page.form(PATH).all("network_note") == ["Office"]
    assert kept(ada) == [("", "", "")]
