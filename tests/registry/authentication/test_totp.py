"""TOTP and recovery codes: validity, single use, encryption, throttling."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, text, update

from gatepass.core.errors import (
    Conflict,
    Forbidden,
    GatepassError,
    InvalidInput,
    Misconfigured,
    SignInFailed,
    TooManyAttempts,
    Unavailable,
)
from gatepass.registry.actor import Actor
from gatepass.registry.authentication import totp, totp_enrolment, totp_policy
from gatepass.registry.authentication.encryption import EncryptionKey
from gatepass.registry.authentication.reauthentication import Reauthentication
from gatepass.registry.authentication.totp import STEP_MS, step_of
from gatepass.registry.directory.users import User
from gatepass.registry.membership import account
from gatepass.registry.storage.tables import users
from tests.support.concurrency import concurrently
from tests.support.database.small_registry import (
    HOUR,
    PASSWORD,
    SmallRegistry,
    nothing_changes,
)
from tests.support.weak_hashing import HASHER

# RFC 6238, appendix B: the secret "12345678901234567890", SHA-1; the last six of its eight digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = [
    (59, "287082"),
    (1_111_111_109, "081804"),
    (1_111_111_111, "050471"),
    (1_234_567_890, "005924"),
    (2_000_000_000, "279037"),
    (20_000_000_000, "353130"),
]


def code_of(registry: SmallRegistry, secret: str, steps: int = 0) -> str:
    return pyotp.TOTP(secret).at((registry.now + steps * STEP_MS) // 1000)


class Enrolled:
    """A user who has just enabled a second factor."""

    def __init__(self, registry: SmallRegistry, user: User) -> None:
        self.registry, self.user = registry, user
        self.actor = registry.signed_in(user)
        self.reauthentication = registry.reauthentication
        self.secret, setup = totp_enrolment.begin(self.reauthentication, self.actor)
        self.recovery = totp_enrolment.enable(
            self.reauthentication, self.actor, setup=setup, password=PASSWORD, code=self.code()
        ).made

    def code(self, steps: int = 0) -> str:
        return code_of(self.registry, self.secret, steps)

    def next_code(self) -> str:
        """Time goes on, and with it the code."""
        self.registry.now += STEP_MS
        return self.code()

    def sign_in(self, code: str | None) -> Any:
        return self.registry.sign_in(email=self.user.email, code=code)[0]

    def refused(self, code: str | None) -> bool:
        with pytest.raises(SignInFailed):
            self.sign_in(code)
        return True


@pytest.fixture
def ada(registry: SmallRegistry) -> Enrolled:
    return Enrolled(registry, registry.ada)


@pytest.mark.parametrize(("seconds", "code"), RFC_CODES)
def test_codes_are_rfc_6238s(seconds: int, code: str) -> None:
    assert step_of(RFC_SECRET, code, now=seconds * 1000, after=None) == seconds // 30


@pytest.mark.parametrize(
    ("late", "counts"),
    [
        (-30_001, False),
        (-30_000, True),
        (0, True),
        (29_999, True),
        (30_000, True),
        (59_999, True),
        (60_000, False),
        (90_000, False),
    ],
)
def test_a_code_is_valid_one_step_either_way(late: int, counts: bool) -> None:
    """The step of 1,111,111,110 begins at that second."""
    begins = 1_111_111_110_000
    assert (step_of(RFC_SECRET, "050471", now=begins + late, after=None) is not None) == counts


@pytest.mark.parametrize("typed", ["050 471", " 050471 ", "05 04 71", "050\u00a0471", "0\t5\n0471"])
def test_spaces_in_a_code_are_ignored(typed: str) -> None:
    assert step_of(RFC_SECRET, typed, now=1_111_111_111_000, after=None) is not None


@pytest.mark.parametrize(
    "typed", ["", "05047", "0504711", "٠٥٠٤٧١", "050471x", "-50471", "+50471", "\ud800"]
)
def test_malformed_codes_are_refused(typed: str) -> None:
    assert step_of(RFC_SECRET, typed, now=1_111_111_111_000, after=None) is None


def test_signing_in_requires_the_password_and_a_code(ada: Enrolled) -> None:
    for code in (None, "", "000000", "x" * 5000, "\0", "\ud800"):
        assert ada.refused(code)
    record = ada.sign_in(ada.next_code())
    assert record.status == "active"
    with ada.registry.read() as reading:
        mine = account.get(reading, ada.actor)
    assert mine.last_sign_in_at == record.created_at == ada.registry.now
    wrong = {"email": ada.user.email, "password": "wrong", "code": ada.next_code()}
    with pytest.raises(SignInFailed):
        ada.registry.sign_in(**wrong)
    # The wrong password didn't use up the code.
    assert ada.sign_in(wrong["code"]).status == "active"


def test_without_a_second_factor_a_code_is_ignored(registry: SmallRegistry) -> None:
    for code in (None, "", "000000", "rubbish"):
        assert registry.sign_in(code=code)[0].status == "active"


def test_used_and_earlier_codes_are_refused(ada: Enrolled) -> None:
    # The code that enabled it.
    assert ada.refused(ada.code())
    ada.registry.now += 10 * STEP_MS
    used, before, after = ada.code(), ada.code(-1), ada.code(1)
    assert ada.sign_in(used).status == "active"
    assert ada.refused(used)
    assert ada.refused(before)
    assert ada.sign_in(after).status == "active"
    assert ada.refused(after)
    assert ada.refused(used)


def at_once(times: int, attempt: Callable[[], Any]) -> int:
    """How many of *times* concurrent attempts succeed."""

    def one(_: int) -> bool:
        try:
            attempt()
        except (GatepassError, InvalidInput):
            return False
        return True

    return sum(concurrently(one, range(times)))


def test_one_code_signs_in_once_under_concurrency(ada: Enrolled) -> None:
    code, recovery = ada.next_code(), ada.recovery[0]
    assert at_once(8, lambda: ada.sign_in(code)) == 1
    ada.registry.now += 16 * 60_000
    assert at_once(8, lambda: ada.sign_in(recovery)) == 1
    assert len(ada.registry.events(action="user.recovery_code_used")) == 1


def test_recovery_codes_are_single_use(ada: Enrolled) -> None:
    assert len(set(ada.recovery)) == 10
    first, second = ada.recovery[:2]
    assert ada.sign_in(first).status == "active"
    assert ada.refused(first)
    event = ada.registry.events(action="user.recovery_code_used")[-1]
    assert event.after == {"recovery_codes_left": 9}
    assert (event.actor_id, event.subject.id) == (ada.user.id, ada.user.id)
    assert ada.sign_in(f" {second.upper().replace('-', ' ')} ").status == "active"
    new = totp_enrolment.replace_recovery_codes(
        ada.reauthentication, ada.actor, code=ada.next_code()
    ).made
    assert ada.refused(ada.recovery[2])
    assert ada.sign_in(new[0]).status == "active"
    assert len(ada.registry.events(action="user.recovery_codes_replaced")) == 1


def test_another_users_codes_are_refused(registry: SmallRegistry, ada: Enrolled) -> None:
    carl = Enrolled(registry, registry.carl)
    registry.now += STEP_MS
    assert ada.refused(carl.code())
    assert ada.refused(carl.recovery[0])
    assert carl.sign_in(carl.recovery[0]).status == "active"


def test_wrong_codes_are_throttled_like_wrong_passwords(ada: Enrolled) -> None:
    ada.registry.now += STEP_MS
    for _ in range(10):
        assert ada.refused("000000")
    with pytest.raises(TooManyAttempts):
        ada.sign_in("000000")
    with pytest.raises(TooManyAttempts):
        ada.sign_in(ada.code())
    with pytest.raises(TooManyAttempts):
        totp_enrolment.replace_recovery_codes(ada.reauthentication, ada.actor, code=ada.code())
    ada.registry.now += 16 * 60_000
    assert ada.sign_in(ada.code()).status == "active"


def test_a_session_cannot_guess_codes(ada: Enrolled) -> None:
    with nothing_changes(ada.registry):
        for _ in range(10):
            with pytest.raises(InvalidInput) as refusal:
                totp_enrolment.disable(
                    ada.reauthentication, ada.actor, password=PASSWORD, code="000000"
                )
            assert refusal.value.errors[0][0] == "code"
        with pytest.raises(TooManyAttempts):
            totp_enrolment.disable(
                ada.reauthentication, ada.actor, password=PASSWORD, code="000000"
            )
    with pytest.raises(TooManyAttempts):
        ada.sign_in(ada.next_code())


def test_enabling_requires_a_code_of_the_new_secret_and_the_password(
    registry: SmallRegistry,
) -> None:
    actor, own = registry.signed_in(registry.ada), registry.reauthentication
    secret, setup = totp_enrolment.begin(own, actor)
    right = code_of(registry, secret)

    def enable(**changes: Any) -> list[str]:
        given = {"setup": setup, "password": PASSWORD, "code": right} | changes
        return totp_enrolment.enable(own, actor, **given).made

    other = registry.signed_in(registry.carl)
    _, carls = totp_enrolment.begin(own, other)
    with nothing_changes(registry):
        for field, changes in (
            ("current_password", {"password": "wrong"}),
            ("code", {"code": "000000"}),
            ("code", {"code": ""}),
            ("setup", {"setup": carls}),
            ("setup", {"setup": b""}),
            ("setup", {"setup": setup[:-1] + bytes([setup[-1] ^ 1])}),
        ):
            with pytest.raises(InvalidInput) as refusal:
                enable(**changes)
            assert refusal.value.errors[0][0] == field
    assert len(enable()) == 10
    (event,) = registry.events(action="user.second_factor_enabled")
    assert (event.before, event.after) == (None, None)
    registry.now += STEP_MS
    with pytest.raises(Conflict) as again:
        enable(code=code_of(registry, secret))
    assert again.value.reason == "second_factor_present"


def test_disabling_requires_password_and_code(ada: Enrolled) -> None:
    code = ada.next_code()
    with pytest.raises(InvalidInput):
        totp_enrolment.disable(ada.reauthentication, ada.actor, password="wrong", code=code)
    totp_enrolment.disable(ada.reauthentication, ada.actor, password=PASSWORD, code=code)
    assert ada.sign_in(None).status == "active"
    with ada.registry.read() as reading:
        mine = account.get(reading, ada.actor)
    assert (mine.second_factor, mine.recovery_codes_left) == (False, 0)
    assert len(ada.registry.events(action="user.second_factor_disabled")) == 1
    with pytest.raises(Conflict) as gone:
        totp_enrolment.replace_recovery_codes(ada.reauthentication, ada.actor, code=code)
    assert gone.value.reason == "second_factor_missing"


def test_a_used_code_stays_used_after_disabling_and_enabling(ada: Enrolled) -> None:
    secret, setup = totp_enrolment.begin(ada.reauthentication, ada.actor)
    code = ada.next_code()
    totp_enrolment.disable(ada.reauthentication, ada.actor, password=PASSWORD, code=code)
    used = code_of(ada.registry, secret)
    with pytest.raises(InvalidInput) as refusal:
        totp_enrolment.enable(
            ada.reauthentication, ada.actor, setup=setup, password=PASSWORD, code=used
        )
    assert refusal.value.errors[0][0] == "code"
    ada.registry.now += 2 * STEP_MS
    later = code_of(ada.registry, secret)
    totp_enrolment.enable(
        ada.reauthentication, ada.actor, setup=setup, password=PASSWORD, code=later
    )


def test_garbage_submitted_as_setup_logs_no_key_error(
    ada: Enrolled, caplog: pytest.LogCaptureFixture
) -> None:
    for rubbish in (b"", b"\x01", b"rubbish" * 20, bytes(100)):
        with pytest.raises(InvalidInput):
            totp_enrolment.secret_of(ada.reauthentication, ada.actor, rubbish)
    assert caplog.records == []


def test_a_short_password_suffices_only_with_a_second_factor(ada: Enrolled) -> None:
    short = "vivid-9x"
    account.change_password(ada.reauthentication, ada.actor, current=PASSWORD, new=short)
    with pytest.raises(InvalidInput) as refusal:
        totp_enrolment.disable(
            ada.reauthentication, ada.actor, password=short, code=ada.next_code()
        )
    assert refusal.value.errors[0][0] == "current_password"
    assert ada.registry.sign_in(password=short, code=ada.next_code())[0].status == "active"


def test_access_tokens_cannot_manage_a_second_factor(
    registry: SmallRegistry, ada: Enrolled
) -> None:
    made, _ = registry.token(ada.actor)
    token = registry.with_token(made)
    attempts: list[Callable[[Actor], Any]] = [
        lambda actor: totp_enrolment.begin(ada.reauthentication, actor),
        lambda actor: totp_enrolment.enable(
            ada.reauthentication, actor, setup=b"", password=PASSWORD, code=""
        ),
        lambda actor: totp_enrolment.replace_recovery_codes(
            ada.reauthentication, actor, code=ada.recovery[0]
        ),
        lambda actor: totp_enrolment.disable(
            ada.reauthentication, actor, password=PASSWORD, code=ada.recovery[0]
        ),
    ]
    with nothing_changes(registry):
        for attempt in attempts:
            for actor in (token, Actor.command_line()):
                with pytest.raises(Forbidden) as refusal:
                    attempt(actor)
                assert refusal.value.reason == "signed_in_user_required"


def test_the_database_holds_neither_secret_nor_codes(ada: Enrolled) -> None:
    with ada.registry.read() as reading:
        names = reading.session.execute(
            text(
                "SELECT name FROM sqlite_master WHERE type = 'table'"
                if ada.registry.database.dialect == "sqlite"
                else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            )
        ).scalars()
        dump = b"".join(
            value if isinstance(value, bytes) else str(value).encode()
            for name in names.all()
            for row in reading.session.execute(text(f'SELECT * FROM "{name}"'))
            for value in row
        )
    key = ada.registry.encryption_key.path.read_bytes().strip()
    plain = [code.replace("-", "") for code in ada.recovery]
    for secret in (ada.secret, *ada.recovery, *plain, key.decode(), PASSWORD):
        assert secret.encode() not in dump
    assert bytes.fromhex(key.decode()) not in dump
    assert ada.user.email.encode() in dump


def encrypted_of(registry: SmallRegistry, user: User) -> bytes:
    with registry.read() as reading:
        found: bytes = reading.session.execute(
            select(users.c.totp_sealed).where(users.c.id == user.id)
        ).scalar_one()
        return bytes(found)


def overwrite(registry: SmallRegistry, user: User, encrypted: bytes | None) -> None:
    with registry.write() as change:
        change.session.execute(
            update(users).where(users.c.id == user.id).values(totp_sealed=encrypted)
        )


def test_a_tampered_ciphertext_is_refused(registry: SmallRegistry, ada: Enrolled) -> None:
    carl = Enrolled(registry, registry.carl)
    good = encrypted_of(registry, registry.ada)
    registry.now += STEP_MS
    flipped = [good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :] for at in range(len(good))]
    for encrypted in (
        *flipped[::5],
        flipped[-1],
        good[:-1],
        good[:10],
        b"",
        encrypted_of(registry, carl.user),
    ):
        overwrite(registry, registry.ada, encrypted)
        for code in (ada.code(), carl.code(), None):
            # None isn't even looked at: it is a failed sign-in, as any.
            with pytest.raises((Unavailable, SignInFailed)) as refusal:
                ada.sign_in(code)
            assert isinstance(refusal.value, SignInFailed) == (code is None)
        registry.now += HOUR
    overwrite(registry, registry.ada, good)
    assert ada.sign_in(ada.code()).status == "active"


def test_another_key_is_an_outage_and_never_no_second_factor(
    registry: SmallRegistry, ada: Enrolled, tmp_path: Path
) -> None:
    """As on a second node without the first node's key file."""
    for key in (EncryptionKey(tmp_path / "none"), EncryptionKey(tmp_path / "other")):
        if key.path.name == "other":
            key.create()
        registry.encryption_key = key
        code = ada.next_code()
        with pytest.raises(Unavailable, match="encryption key"):
            ada.sign_in(code)
        # Only somebody with the password learns of it.
        with pytest.raises(SignInFailed):
            registry.sign_in(email=ada.user.email, password="wrong", code=code)
        assert ada.refused(None)
        carl = registry.signed_in(registry.carl)
        with pytest.raises(Unavailable):
            totp_enrolment.begin(registry.reauthentication, carl)
        assert not (tmp_path / "none").exists()
        # Recovery codes need no key: they are the way back when it is lost.
        assert ada.sign_in(ada.recovery.pop()).status == "active"


def test_a_key_created_meanwhile_is_detected(registry: SmallRegistry, tmp_path: Path) -> None:
    """Two nodes create a key each; the second to finish is refused."""
    actor = registry.signed_in(registry.carl)
    other = Reauthentication(
        registry.database, EncryptionKey(tmp_path / "other"), lambda: registry.now, HASHER
    )
    secret, setup = totp_enrolment.begin(other, actor)
    Enrolled(registry, registry.ada)
    with pytest.raises(Unavailable):
        totp_enrolment.enable(
            other, actor, setup=setup, password=PASSWORD, code=code_of(registry, secret)
        )


def test_the_key_is_created_once_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "sealing-key"
    at_once(8, EncryptionKey(path).create)
    assert [each.name for each in tmp_path.iterdir()] == ["sealing-key"]
    assert path.stat().st_mode & 0o777 == 0o600
    key = path.read_text()
    EncryptionKey(path).create()
    assert path.read_text() == key
    assert key.strip() not in repr(EncryptionKey(path))
    encrypted = EncryptionKey(path).encrypt(b"secret", owner="usr_1")
    assert EncryptionKey(path).decrypt(encrypted, owner="usr_1") == b"secret"
    for content in ("", "zz", "00" * 31, "ü" * 64):
        path.write_text(content)
        with pytest.raises(Unavailable):
            EncryptionKey(path).decrypt(encrypted, owner="usr_1")
    with pytest.raises(Misconfigured):
        EncryptionKey(tmp_path / "no" / "where").create()


def test_a_company_can_require_it_of_every_user(registry: SmallRegistry, ada: Enrolled) -> None:
    bob = registry.colleague("reporting")
    manager = registry.colleague("manager")

    def require(actor: Actor, wanted: bool = True) -> None:
        registry.do(totp_policy.require_of_everyone, actor, wanted)

    def lacking(actor: Actor) -> bool:
        return registry.ask(totp_policy.user_and_lacking, actor.user or "", actor.credential or "")[
            1
        ]

    token = registry.with_token(registry.token(ada.actor)[0])
    with nothing_changes(registry):
        for actor in (bob, manager):
            with pytest.raises(Forbidden) as refusal:
                require(actor)
            assert refusal.value.permission == "company:modify"
        with pytest.raises(Forbidden) as refusal:
            require(token)
        assert refusal.value.reason == "signed_in_user_required"
    grace = registry.colleague("admin", "Grace")
    with nothing_changes(registry), pytest.raises(Conflict) as conflict:
        require(grace)
    assert conflict.value.reason == "second_factor_missing"
    require(ada.actor)
    require(ada.actor)
    (event,) = registry.events(action="company.modified")
    assert event.before == {"second_factor_required": False}
    assert event.after == {"second_factor_required": True}
    carl = registry.signed_in(registry.carl)
    assert [lacking(each) for each in (ada.actor, bob, carl)] == [False, True, False]
    with pytest.raises(Conflict) as kept:
        totp_enrolment.disable(
            ada.reauthentication, ada.actor, password=PASSWORD, code=ada.next_code()
        )
    assert kept.value.reason == "second_factor_required"
    require(grace, wanted=False)
    assert not lacking(bob)


def test_audit_events_hold_no_secrets(ada: Enrolled) -> None:
    ada.sign_in(ada.recovery[0])
    told = repr(ada.registry.events())
    assert ada.secret not in told
    assert not [code for code in ada.recovery if code in told]


def test_the_provisioning_uri() -> None:
    uri = totp.provisioning_uri(RFC_SECRET, "ada+x@northwind.example")
    parsed = pyotp.parse_uri(uri)
    assert isinstance(parsed, pyotp.TOTP)
    assert (parsed.secret, parsed.digits, parsed.interval) == (RFC_SECRET, 6, 30)
    assert (parsed.name, parsed.issuer) == ("ada+x@northwind.example", "Gatepass")
    assert len(pyotp.TOTP(totp.new_secret()).byte_secret()) == 20
