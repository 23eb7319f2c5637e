"""``POST /v1/verify`` and ``/v1/verify/batch``: decisions for services, in JSON."""

from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Any, Final, TypeVar

import msgspec

from gatepass.core.decision import Decision, Reason, decide, decide_within
from gatepass.core.errors import GatepassError, InvalidInput
from gatepass.core.grants import Holder
from gatepass.core.networks import parse_address
from gatepass.core.permissions import is_permission
from gatepass.core.routes import RequestLine
from gatepass.verify.cached_rows import CachedToken
from gatepass.verify.remembered import call_key, named_route
from gatepass.verify.verifier import Verifier
from gatepass.web.gateway.reply import JSON, Reply, refusal
from gatepass.web.problems import Problem, problem_of_error
from gatepass.web.strict_json import BrokenJSON, field_name, parse
from gatepass.web.times import format_time
from gatepass.web.unhandled import log_unhandled

VERIFY: Final = "/v1/verify"
BATCH: Final = "/v1/verify/batch"
#: Calls in one batch.
MOST_CALLS: Final = 100

_FIELDS: Final = ("token", "permission", "method", "path", "address", "origin", "referer")
_KNOWN_FIELDS: Final = frozenset(_FIELDS)
_MOST_ERRORS = 20

#: A call's token, permission, method, path, address, origin and referer.
Question = tuple[str | None, ...]
#: The ids of the companies that a verifier key is limited to; None is no limit.
_Companies = frozenset[str] | None
_Answer = TypeVar("_Answer")
_Errors = list[tuple[str, str]]


class Verification:
    """Answers services whose verifier key has just been checked.

    Args:
        verifier: makes the decisions.
    """

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def one(self, body: bytes, companies: _Companies) -> Reply:
        """Answer ``VERIFY``.

        Args:
            body: the request's JSON.
            companies: the ids of those that the service's key is limited to; None is no limit.

        Raises:
            BrokenJSON, InvalidInput: the request can't be understood.
            Unavailable: no decision is possible now.
        """
        # Services repeat themselves, to the byte.
        salt = b"" if companies is None else _salt(companies)
        key = blake2b(body, person=b"verify", salt=salt).digest()
        reply: Reply | None = self._verifier.remembered.recall(key)
        if reply is not None:
            return reply
        errors: _Errors = []
        question = _read(parse(body), "", errors)
        if errors:
            raise InvalidInput(errors)
        return Reply(200, JSON, self.decide(question, companies, key))

    def batch(self, body: bytes, companies: _Companies) -> Reply:
        """Answer ``BATCH``; arguments and errors are those of ``one``."""
        value = parse(body)
        if not isinstance(value, dict):
            raise InvalidInput([("body", "must be an object")])
        errors = _unknown(value, frozenset(("calls",)), "")
        calls = value.get("calls")
        if not isinstance(calls, list):
            errors.append(("calls", "must be a list"))
        elif len(calls) > MOST_CALLS:
            errors.append(("calls", f"must have at most {MOST_CALLS} calls"))
        else:
            questions = [_read(call, f"calls.{at}", errors) for at, call in enumerate(calls)]
        if errors:
            raise InvalidInput(errors[:MOST_CALLS])
        decided = b",".join([self.decide(each, companies) for each in questions])
        return Reply(200, JSON, b'{"decisions":[%s]}' % decided)

    def decide(
        self, question: Question, companies: _Companies, body_key: bytes | None = None
    ) -> bytes:
        """The decision about one call, in JSON. Raises Unavailable if none is possible now.

        Args:
            body_key: also remember the answer to a body that is the whole question.
        """
        token, permission, method, path, address, origin, referer = question
        verifier, remembered = self._verifier, self._verifier.remembered
        routes = verifier.routes
        named = None if method is None else named_route(routes, method, path or "")
        asked_by = "verify" if companies is None else f"verify {_salt(companies).hex()}"
        key = call_key((asked_by, token, permission, routes.tag, named, address, origin, referer))
        answer: bytes | None = remembered.recall(key)
        if answer is None:
            asked_ms = verifier.clock.now()
            decision, known = verifier.judge(
                token or Reason.token_missing,
                permission,
                None if method is None else RequestLine(method, path or ""),
                None if address is None else parse_address(address),
                origin,
                referer,
                rule=decide if companies is None else partial(decide_within, companies),
            )
            answer = msgspec.json.encode(_members(decision, known, verifier.help(decision)))
            remembered.remember(key, decision, known, answer, asked_ms, routes)
            if body_key is not None:
                remembered.remember(body_key, decision, known, Reply(200, JSON, answer), asked_ms)
        return answer


def _salt(companies: frozenset[str]) -> bytes:
    """Keeps remembered answers for keys with different limits apart."""
    return blake2b("\0".join(sorted(companies)).encode(), digest_size=16).digest()


def failing_closed(answer: Callable[[], _Answer]) -> _Answer | Reply:
    """The result of *answer*; a problem document if it raises, 500 for an unexpected error."""
    try:
        return answer()
    except BrokenJSON as error:
        return Reply.of(Problem(400, "bad_request", str(error)))
    except GatepassError as error:
        return Reply.of(problem_of_error(error))
    except Exception as error:
        log_unhandled(error)
        return refusal(500)


def _members(decision: Decision, known: CachedToken | None, help: str | None) -> dict[str, Any]:
    """The members of a decision's JSON object."""
    members: dict[str, Any] = {
        "allowed": decision.allowed,
        "reason": decision.reason.value,
        "status": decision.status,
        "needed": list(decision.needed),
    }
    if help is not None:
        members["help"] = help
    grant = decision.grant
    if grant is not None and known is not None:
        members["grant"] = {
            "id": grant.id,
            "label": grant.label,
            "kind": grant.kind,
            "company": grant.company,
            "user": grant.user,
            "owner": _owner(decision.owner),
            "permissions": list(decision.effective),
            "expires_at": None if grant.expires_at is None else format_time(grant.expires_at),
            "metadata": grant.metadata or {},
            "external_id": grant.external_id,
        }
    return members


def _owner(holder: Holder | None) -> dict[str, Any] | None:
    if holder is None:
        return None
    return {
        "type": holder.type,
        "id": holder.id,
        "external_id": holder.external_id,
        "name": holder.name,
    }


def _read(value: Any, place: str, errors: _Errors) -> Question:
    """The fields of a question.

    Args:
        place: where it stands in the body; "" for the whole body.
        errors: what is wrong with it is added here.
    """
    if not isinstance(value, dict):
        errors.append((place or "body", "must be an object"))
        return ()
    prefix = f"{place}." if place else ""
    if not value.keys() <= _KNOWN_FIELDS:
        errors += _unknown(value, _KNOWN_FIELDS, prefix)
    question = tuple([value.get(name) for name in _FIELDS])
    if any(text is not None and type(text) is not str for text in question):
        errors += [
            (prefix + name, "must be a string")
            for name, text in zip(_FIELDS, question, strict=True)
            if text is not None and not isinstance(text, str)
        ]
        question = tuple([text if isinstance(text, str) else None for text in question])
    _, permission, method, path, *_ = question
    if permission is not None and not is_permission(permission):
        errors.append((prefix + "permission", "must be a permission such as charges:create"))
    if (method is None) != (path is None):
        missing = "path" if path is None else "method"
        errors.append((prefix + missing, "must be given: method and path go together"))
    if permission is None and method is None and path is None:
        errors.append((prefix + "permission", "must be given, or method and path"))
    return question


def _unknown(value: dict[str, Any], known: frozenset[str], prefix: str) -> _Errors:
    # At most _MOST_ERRORS, because the names are repeated and may take up a megabyte.
    names = [name for name in value if name not in known][:_MOST_ERRORS]
    return [
        (prefix + field_name((name,)), "must be left out: there is no such field") for name in names
    ]
