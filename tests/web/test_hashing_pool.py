"""The queue of those who wait for a password to be hashed: nobody keeps the others waiting."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Condition, Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepass.core.errors import Unavailable
from gatepass.registry.authentication import passwords
from gatepass.web import hashing_pool as hashing_module
from gatepass.web.hashing_pool import HashingQueue, Place, hashing
from tests.support.apps.installation import PASSWORD, Installation
from tests.support.browser.page_reader import Visit
from tests.support.database.small_registry import HASHER
from tests.support.mail.mailbox import Mailbox

HOME = "198.51.100.7"
NEW = "a wholly new phrase"


class Held:
    """A queue with one thread, which is kept busy until it is let go.

    Attributes:
        done: what was done since, in order.
    """

    def __init__(self, most_waiting: int = 50) -> None:
        self.queue = HashingQueue(1, most_waiting)
        self.done: list[Any] = []
        self._go = Event()
        busy = Event()
        self.queue.submit(place("first of all"), lambda: (busy.set(), self._go.wait(30)))
        assert busy.wait(30)

    def submit(self, name: Any, where: Place) -> "Future[Any]":
        return self.queue.submit(where, lambda: self.done.append(name))

    def let_go(self, *waited_for: "Future[Any]") -> list[Any]:
        """Let it work, until these are done; what was done."""
        self._go.set()
        for future in waited_for:
            future.exception(30)
        return self.done


def place(source: str, account: str = "", *, first: bool = False) -> Place:
    return Place(account or f"the account of {source}", source, first)


def test_a_flood_from_one_source_keeps_another_waiting_for_one_turn() -> None:
    held = Held()
    flood = [held.submit(n, place("flood", f"account {n}")) for n in range(20)]
    other = held.submit("other", place("elsewhere"))
    assert held.let_go(other, *flood) == [0, "other", *range(1, 20)]


def test_a_flood_upon_one_account_likewise() -> None:
    held = Held()
    flood = [held.submit(n, place(f"192.0.2.{n}", "Ada's")) for n in range(20)]
    other = held.submit("other", place("elsewhere"))
    assert held.let_go(other, *flood) == [0, "other", *range(1, 20)]


def test_known_ones_go_before_strangers_who_get_every_fourth_turn() -> None:
    held = Held()
    strangers = [held.submit(f"stranger {n}", place(f"192.0.2.{n}")) for n in range(3)]
    known = [held.submit(n, place(f"198.51.100.{n}", first=True)) for n in range(6)]
    done = held.let_go(*strangers, *known)
    assert [name for name in done if isinstance(name, int)] == list(range(6))
    # The second of them was the fourth turn, counted from the one that kept the queue busy.
    assert done == [0, 1, "stranger 0", 2, 3, 4, "stranger 1", 5, "stranger 2"]


def test_a_full_queue_makes_room_for_another_source_at_the_floods_cost() -> None:
    held = Held(most_waiting=5)
    flood = [held.submit(n, place("flood", f"account {n}")) for n in range(5)]
    with pytest.raises(Unavailable):
        held.submit("one more", place("flood", "account 5"))
    others = [held.submit(name, place(name)) for name in ("one", "two")]
    for dropped in flood[3:]:
        with pytest.raises(Unavailable):
            dropped.result(30)
    assert held.let_go(*flood, *others) == [0, "one", "two", 1, 2]


def test_strangers_never_take_the_place_of_known_ones() -> None:
    held = Held(most_waiting=3)
    known = [held.submit(n, place("office", f"account {n}", first=True)) for n in range(3)]
    strangers = [held.submit(f"stranger {n}", place(f"192.0.2.{n}")) for n in range(3)]
    with pytest.raises(Unavailable):
        held.submit("stranger 3", place("192.0.2.3"))
    done = held.let_go(*known, *strangers)
    assert {0, 1, 2} < set(done)


def test_what_was_given_up_makes_room_and_is_never_begun() -> None:
    held = Held(most_waiting=2)
    given_up = [held.submit(n, place(f"192.0.2.{n}")) for n in range(2)]
    for future in given_up:
        assert future.cancel()
    others = [held.submit(name, place(name)) for name in ("one", "two")]
    assert held.let_go(*others) == ["one", "two"]


def test_what_fails_fails_alone() -> None:
    held = Held()

    def fails() -> None:
        raise ZeroDivisionError

    failing = held.queue.submit(place("one"), fails)
    other = held.submit("other", place("two"))
    assert held.let_go(failing, other) == ["other"]
    with pytest.raises(ZeroDivisionError):
        failing.result()


_places = st.builds(
    place, st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), first=st.booleans()
)


@given(st.lists(_places, max_size=40), st.integers(1, 8))
def test_in_each_lane_a_bounded_number_waits_and_all_of_it_is_done_once(
    places: list[Place], most: int
) -> None:
    held = Held(most)
    taken = {}
    for number, where in enumerate(places):
        try:
            taken[number] = held.submit(number, where)
        except Unavailable:
            continue
    done = held.let_go(*taken.values())
    kept = [number for number, future in taken.items() if future.exception() is None]
    assert sorted(done) == kept
    for first in (True, False):
        waiting = [number for number in kept if places[number].first == first]
        offered = [where for where in places if where.first == first]
        assert len(waiting) == min(most, len(offered))
        # The job of a single source was never dropped for those of a source with many.
        sources = {where.source for where in offered}
        accounts = {where.account for where in offered}
        if len(offered) == len(sources) == len(accounts):
            assert waiting == [n for n in taken if places[n].first == first]


def test_the_wait_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(hashing_module, "_queue", held.queue)
    monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 0.01)
    with pytest.raises(Unavailable):
        asyncio.run(hashing(place("one"), lambda: held.done.append("never")))
    last = held.submit("last", place("two"))
    assert held.let_go(last) == ["last"]


def test_what_has_begun_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_module, "_queue", HashingQueue(1))
    monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 0.01)
    assert asyncio.run(hashing(place("one"), lambda: Event().wait(0.1) or "done")) == "done"


class Hashing:
    """Where passwords are checked: one at a time, and none until it is let go.

    Attributes:
        checked: the passwords, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue = HashingQueue(1)
        self.checked: list[str] = []
        self._go = Event()
        self._submitted = 0
        self._changed = Condition()
        submit, verify = self.queue.submit, passwords.verify

        def submits(where: Place, work: Callable[[], Any]) -> "Future[Any]":
            future = submit(where, work)
            with self._changed:
                self._submitted += 1
                self._changed.notify_all()
            return future

        def verifies(password: str, kept: str | None, **_: Any) -> bool:
            assert self._go.wait(60)
            self.checked.append(password)
            return verify(password, kept, hasher=HASHER)

        monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 600)
        monkeypatch.setattr(self.queue, "submit", submits)
        monkeypatch.setattr(passwords, "verify", verifies)
        monkeypatch.setattr(hashing_module, "_queue", self.queue)

    def wait_for(self, submitted: int) -> None:
        """Wait until so many have a place."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._submitted >= submitted, 60)

    def let_go(self) -> None:
        self._go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


def attempt(installation: Installation, address: str, email: str, password: str) -> int:
    client = installation.client()
    client.headers["X-Forwarded-For"] = address
    body = {"email": email, "password": password}
    return client.post("/v1/authentications", json=body).status_code


def test_behind_a_flood_of_sign_ins_the_owner_waits_for_one(
    any_installation: Installation, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    """The owner from a known address goes next, a customer from elsewhere after one stranger."""
    any_installation.new_user("bob@example.com")
    assert attempt(any_installation, HOME, "ada@example.com", PASSWORD) == 201
    ours = Hashing(monkeypatch)
    flood = [
        pool.submit(
            attempt, any_installation, f"2001:db8:1:2::{n}", f"user{n}@example.com", f"guess {n}"
        )
        for n in range(12)
    ]
    ours.wait_for(12)
    bob = pool.submit(attempt, any_installation, "203.0.113.9", "bob@example.com", PASSWORD)
    ours.wait_for(13)
    ada = pool.submit(attempt, any_installation, HOME, "ada@example.com", PASSWORD)
    ours.wait_for(14)
    ours.let_go()
    assert (ada.result(60), bob.result(60)) == (201, 201)
    assert {one.result(60) for one in flood} == {401}
    at = [n for n, password in enumerate(ours.checked) if password == PASSWORD]
    assert at == [1, 3]


def test_links_and_sessions_go_before_strangers_and_bad_links_have_no_place(
    open_installation: Callable[..., Installation],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    pool: ThreadPoolExecutor,
) -> None:
    with Mailbox() as mailbox:
        installation = open_installation(database_url, smtp_url=mailbox.url)
        ada = installation.signed_in()
        invited = {"email": "new@example.com", "role": "reporting"}
        assert ada.post("/v1/invitations", json=invited).status_code == 201
        installation.node.mailing.send_due()
        mailbox.wait()
        token = mailbox.token()
    owner = Visit(installation.client())
    owner.sign_in()
    ours = Hashing(monkeypatch)
    flood = [
        pool.submit(attempt, installation, f"192.0.2.{n}", f"user{n}@example.com", f"guess {n}")
        for n in range(8)
    ]
    ours.wait_for(8)

    def accept(token: str) -> int:
        fields = {"token": token, "name": "Nell", "password": NEW}
        return installation.client().post("/v1/invitations/accept", json=fields).status_code

    # Answered although nothing is hashed now.
    assert accept("gpiv_" + token[5:-1] + "x") == 410
    stranger = Visit(installation.client())
    assert stranger.send("/password-resets/gprs_x", {"password": NEW}).answer.status_code == 410
    accepted = pool.submit(accept, token)
    ours.wait_for(9)
    change = {"current_password": PASSWORD, "password": NEW, "do": "change"}
    changed = pool.submit(owner.send, "/account/password", change)
    ours.wait_for(10)
    ours.let_go()
    assert (accepted.result(60), changed.result(60).answer.status_code) == (201, 303)
    assert {one.result(60) for one in flood} == {401}
    assert ours.checked.index(PASSWORD) <= 2


def test_a_flood_that_fills_the_queue_is_told_so_at_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> None:
    ours = Hashing(monkeypatch)
    ours.queue._most_waiting = 5
    flood = [
        pool.submit(attempt, installation, f"2001:db8:1:2::{n}", f"user{n}@example.com", "guess")
        for n in range(6)
    ]
    ours.wait_for(6)
    client = installation.client()
    client.headers["X-Forwarded-For"] = "2001:db8:1:2::ffff"
    answer = client.post("/v1/authentications", json={"email": "x@example.com", "password": "x"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    ada = pool.submit(attempt, installation, HOME, "ada@example.com", PASSWORD)
    ours.wait_for(7)
    ours.let_go()
    assert ada.result(60) == 201
    assert sorted(one.result(60) for one in flood) == [401] * 5 + [503]
