"""The queue of password hashing: a flood of sign-ins delays no other source."""

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
from tests.support.mail.mailbox import Mailbox
from tests.support.waiting import LIMIT_S
from tests.support.weak_hashing import HASHER

HOME = "198.51.100.7"
NEW = "a wholly new phrase"


class Held:
    """A queue with one thread, which is busy until ``release``.

    Attributes:
        done: what ran since then, in order.
    """

    def __init__(self, most_waiting: int = 50) -> None:
        self.queue = HashingQueue(1, most_waiting)
        self.done: list[Any] = []
        self._go = Event()
        busy = Event()
        self.queue.submit(place("first of all"), lambda: (busy.set(), self._go.wait(LIMIT_S)))
        assert busy.wait(LIMIT_S)

    def submit(self, name: Any, where: Place) -> "Future[Any]":
        return self.queue.submit(where, lambda: self.done.append(name))

    def release(self, *waited_for: "Future[Any]") -> list[Any]:
        """Let the queue run until these are done; what ran."""
        self._go.set()
        for future in waited_for:
            future.exception(LIMIT_S)
        return self.done


def place(source: str, account: str = "", *, first: bool = False) -> Place:
    return Place(account or f"the account of {source}", source, first)


def test_a_flood_from_one_source_delays_another_by_one_job() -> None:
    held = Held()
    flood = [held.submit(n, place("flood", f"account {n}")) for n in range(20)]
    other = held.submit("other", place("elsewhere"))
    assert held.release(other, *flood) == [0, "other", *range(1, 20)]


def test_a_flood_on_one_account_delays_another_by_one_job() -> None:
    held = Held()
    flood = [held.submit(n, place(f"192.0.2.{n}", "Ada's")) for n in range(20)]
    other = held.submit("other", place("elsewhere"))
    assert held.release(other, *flood) == [0, "other", *range(1, 20)]


def test_known_sources_go_first_and_unknown_ones_get_every_fourth_turn() -> None:
    held = Held()
    strangers = [held.submit(f"stranger {n}", place(f"192.0.2.{n}")) for n in range(3)]
    known = [held.submit(n, place(f"198.51.100.{n}", first=True)) for n in range(6)]
    done = held.release(*strangers, *known)
    assert [name for name in done if isinstance(name, int)] == list(range(6))
    # Every fourth turn, counted from the job that keeps the thread busy.
    assert done == [0, 1, "stranger 0", 2, 3, 4, "stranger 1", 5, "stranger 2"]


def test_a_full_queue_drops_the_floods_jobs_for_another_source() -> None:
    held = Held(most_waiting=5)
    flood = [held.submit(n, place("flood", f"account {n}")) for n in range(5)]
    with pytest.raises(Unavailable):
        held.submit("one more", place("flood", "account 5"))
    others = [held.submit(name, place(name)) for name in ("one", "two")]
    for dropped in flood[3:]:
        with pytest.raises(Unavailable):
            dropped.result(LIMIT_S)
    assert held.release(*flood, *others) == [0, "one", "two", 1, 2]


def test_unknown_sources_never_displace_known_ones() -> None:
    held = Held(most_waiting=3)
    known = [held.submit(n, place("office", f"account {n}", first=True)) for n in range(3)]
    strangers = [held.submit(f"stranger {n}", place(f"192.0.2.{n}")) for n in range(3)]
    with pytest.raises(Unavailable):
        held.submit("stranger 3", place("192.0.2.3"))
    done = held.release(*known, *strangers)
    assert {0, 1, 2} < set(done)


def test_cancelled_jobs_make_room_and_never_run() -> None:
    held = Held(most_waiting=2)
    given_up = [held.submit(n, place(f"192.0.2.{n}")) for n in range(2)]
    for future in given_up:
        assert future.cancel()
    others = [held.submit(name, place(name)) for name in ("one", "two")]
    assert held.release(*others) == ["one", "two"]


def test_a_failing_job_affects_no_other() -> None:
    held = Held()

    def fails() -> None:
        raise ZeroDivisionError

    failing = held.queue.submit(place("one"), fails)
    other = held.submit("other", place("two"))
    assert held.release(failing, other) == ["other"]
    with pytest.raises(ZeroDivisionError):
        failing.result()


_places = st.builds(
    place, st.sampled_from("abcdef"), st.sampled_from("uvwxyz"), first=st.booleans()
)


@given(st.lists(_places, max_size=40), st.integers(1, 8))
def test_each_lane_is_bounded_and_runs_each_job_once(places: list[Place], most: int) -> None:
    held = Held(most)
    taken = {}
    for number, where in enumerate(places):
        try:
            taken[number] = held.submit(number, where)
        except Unavailable:
            continue
    done = held.release(*taken.values())
    kept = [number for number, future in taken.items() if future.exception() is None]
    assert sorted(done) == kept
    for first in (True, False):
        waiting = [number for number in kept if places[number].first == first]
        offered = [where for where in places if where.first == first]
        assert len(waiting) == min(most, len(offered))
        # A source with one job never loses it to a source with many.
        sources = {where.source for where in offered}
        accounts = {where.account for where in offered}
        if len(offered) == len(sources) == len(accounts):
            assert waiting == [n for n in taken if places[n].first == first]


def test_waiting_for_a_turn_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held()
    monkeypatch.setattr(hashing_module, "_queue", held.queue)
    monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 0.01)
    with pytest.raises(Unavailable):
        asyncio.run(hashing(place("one"), lambda: held.done.append("never")))
    last = held.submit("last", place("two"))
    assert held.release(last) == ["last"]


def test_a_running_job_is_awaited_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing_module, "_queue", HashingQueue(1))
    monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 0.01)
    assert asyncio.run(hashing(place("one"), lambda: Event().wait(0.1) or "done")) == "done"


class Hashing:
    """Password checks, one at a time, and none until ``release``.

    Attributes:
        checked: the passwords, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queue = HashingQueue(1)
        self.checked: list[str] = []
        self._go = Event()
        self._begun = Event()
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
            self._begun.set()
            assert self._go.wait(LIMIT_S)
            self.checked.append(password)
            return verify(password, kept, hasher=HASHER)

        monkeypatch.setattr(hashing_module, "_LONGEST_WAIT_S", 600)
        monkeypatch.setattr(self.queue, "submit", submits)
        monkeypatch.setattr(passwords, "verify", verifies)
        monkeypatch.setattr(hashing_module, "_queue", self.queue)

    def wait_for(self, submitted: int) -> None:
        """Wait until *submitted* jobs are queued."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._submitted >= submitted, LIMIT_S)

    def wait_for_the_first(self) -> None:
        """Wait until the first job runs, and so waits no more."""
        assert self._begun.wait(LIMIT_S)

    def release(self) -> None:
        self._go.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


@pytest.fixture
def stop_hashing(
    monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor
) -> Iterator[Callable[[], Hashing]]:
    """Stops hashing until it is released; after a failed test, too, or its threads would wait."""
    made = []

    def stop() -> Hashing:
        made.append(Hashing(monkeypatch))
        return made[-1]

    yield stop
    for each in made:
        each.release()


def attempt(installation: Installation, address: str, email: str, password: str) -> int:
    client = installation.client()
    client.headers["X-Forwarded-For"] = address
    body = {"email": email, "password": password}
    return client.post("/v1/authentications", json=body).status_code


def test_during_a_flood_of_sign_ins_the_owner_waits_for_one_job(
    any_installation: Installation,
    stop_hashing: Callable[[], Hashing],
    pool: ThreadPoolExecutor,
) -> None:
    """The owner at a known address is next; a customer at an unknown one waits for one stranger."""
    any_installation.new_user("bob@example.com")
    assert attempt(any_installation, HOME, "ada@example.com", PASSWORD) == 201
    ours = stop_hashing()
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
    ours.release()
    assert (ada.result(LIMIT_S), bob.result(LIMIT_S)) == (201, 201)
    assert {one.result(LIMIT_S) for one in flood} == {401}
    at = [n for n, password in enumerate(ours.checked) if password == PASSWORD]
    assert at == [1, 3]


def test_links_and_sessions_go_first_and_broken_links_are_never_queued(
    open_installation: Callable[..., Installation],
    database_url: str,
    stop_hashing: Callable[[], Hashing],
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
    owner = Visit.signed_in(installation.client())
    ours = stop_hashing()
    flood = [
        pool.submit(attempt, installation, f"192.0.2.{n}", f"user{n}@example.com", f"guess {n}")
        for n in range(8)
    ]
    ours.wait_for(8)

    def accept(token: str) -> int:
        fields = {"token": token, "name": "Nell", "password": NEW}
        return installation.client().post("/v1/invitations/accept", json=fields).status_code

    # Answered while the queue is stopped.
    assert accept(token[:-1] + ("x" if token[-1] != "x" else "y")) == 410
    stranger = Visit(installation.client())
    assert stranger.send("/password-resets/gprs_x", {"password": NEW}).answer.status_code == 410
    accepted = pool.submit(accept, token)
    ours.wait_for(9)
    change = {"current_password": PASSWORD, "password": NEW, "do": "change"}
    changed = pool.submit(owner.send, "/account/password", change)
    ours.wait_for(10)
    ours.release()
    assert (accepted.result(LIMIT_S), changed.result(LIMIT_S).answer.status_code) == (201, 303)
    assert {one.result(LIMIT_S) for one in flood} == {401}
    assert ours.checked.index(PASSWORD) <= 2


def test_a_flood_that_fills_the_queue_gets_503_at_once(
    installation: Installation, stop_hashing: Callable[[], Hashing], pool: ThreadPoolExecutor
) -> None:
    ours = stop_hashing()
    ours.queue._most_waiting = 5

    def guess(number: int) -> "Future[int]":
        address, email = f"2001:db8:1:2::{number}", f"user{number}@example.com"
        return pool.submit(attempt, installation, address, email, "guess")

    flood = [guess(0)]
    ours.wait_for_the_first()
    flood += [guess(number) for number in range(1, 6)]
    ours.wait_for(6)
    client = installation.client()
    client.headers["X-Forwarded-For"] = "2001:db8:1:2::ffff"
    answer = client.post("/v1/authentications", json={"email": "x@example.com", "password": "x"})
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "5"
    ada = pool.submit(attempt, installation, HOME, "ada@example.com", PASSWORD)
    ours.wait_for(7)
    ours.release()
    assert ada.result(LIMIT_S) == 201
    assert sorted(one.result(LIMIT_S) for one in flood) == [401] * 5 + [503]
