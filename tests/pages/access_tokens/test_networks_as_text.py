"""A token's networks, edited as lines of text."""

from gatepass.web.pages.access_tokens.form import TokenForm
from gatepass.web.pages.widgets.network_lines import lines_of, read_lines, rows_of, too_many
from tests.support.browser.page_reader import Visit

NEW = "/access-tokens/new"


def test_rows_become_lines_and_lines_rows() -> None:
    rows = [("203.0.113.0", "24"), ("", ""), ("192.0.2.7", ""), ("nonsense", "8")]
    text = lines_of(rows)
    assert text == "203.0.113.0/24\n192.0.2.7\nnonsense/8"
    typed = f"{text}\r\n\n 10.0.0.0 255.0.0.0\n2001:db8:: - 2001:db8::ffff"
    assert rows_of(typed) == [
        ("203.0.113.0", "24"),
        ("192.0.2.7", ""),
        ("nonsense/8", ""),
        ("10.0.0.0", "8"),
        ("2001:db8::", "112"),
    ]


def test_an_invalid_line_is_named_and_never_left_out() -> None:
    networks, problems = read_lines("203.0.113.0/24\n\n10.0.0.0/8 Office\n300.1.1.1")
    assert networks == ["203.0.113.0/24"]
    assert [problem.partition(":")[0] for problem in problems] == ["Line 3", "Line 4"]
    problems = read_lines("x\n" * 15)[1]
    assert (len(problems), problems[-1]) == (11, "5 more lines with errors.")
    form = TokenForm(label="x", permissions=["charges:get"], as_text=True, text="10.0.0.0/8\nx")
    assert form.summary(0).missing == "Some lines aren't IP addresses."


def test_more_lines_than_a_token_has_networks_stay_text() -> None:
    text = "\n".join(f"10.0.{at // 256}.{at % 256}" for at in range(501))
    assert too_many(text) == "Must be at most 500 networks, not 501."
    form = TokenForm(as_text=True, text=text)
    form.press("networks_as_rows", None)
    assert form.as_text
    assert form.errors == {"networks": "Must be at most 500 networks, not 501."}


def test_a_token_is_created_from_lines(ada: Visit) -> None:
    form = ada.get(NEW).form(NEW)
    rows = form.filled(
        label="Lines", permissions=["charges:get"], network_address="10.0.0.0", network_bits="8"
    )
    page = ada.send(NEW, [*rows, ("do", "networks_as_text")])
    assert ">10.0.0.0/8</textarea>" in page.html
    assert page.form(NEW).one("networks_as") == "text"
    fields = page.form(NEW).fields
    wrong = ada.send(NEW, [*fields, ("networks_text", "10.0.0.0/8\nOffice"), ("do", "create")])
    assert wrong.answer.status_code == 422
    wrong.shows("IP addresses: must be one network per line.", "Line 2: ")
    back = ada.send(NEW, [*fields, ("networks_text", "10.0.0.0/8\n"), ("do", "networks_as_rows")])
    assert back.form(NEW).one("network_address") == "10.0.0.0"
    text = "203.0.113.0/24\n10.1.2.3/8\n203.0.113.0/24"
    made = ada.send(NEW, [*fields, ("networks_text", text), ("do", "create")])
    made.shows("Created: Lines", "203.0.113.0/24", "10.0.0.0/8")
