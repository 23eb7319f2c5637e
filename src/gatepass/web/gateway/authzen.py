"""AuthZEN's Authorization API 1.0: ``/access/v1/evaluation`` and ``/access/v1/evaluations``.

The subject is an access token, by its text. What is asked for is one of

* a permission, as the action's name, such as ``charges:create``;
* a route: a resource of type ``route`` whose id is the path, with the method as the action's name;
* a resource's type and an action's name, such as ``charges`` and ``create``, for that permission.

A permission isn't about one resource: except for a route, the resource's id isn't looked at.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gatepass.core.errors import InvalidInput
from gatepass.core.permissions import is_permission
from gatepass.core.reason import Reason
from gatepass.web.gateway.reply import JSON, Reply
from gatepass.web.gateway.verification import Question, Verification
from gatepass.web.strict_json import BrokenJSON, parse

EVALUATION: Final = "/access/v1/evaluation"
EVALUATIONS: Final = "/access/v1/evaluations"
#: Evaluations in one request.
MOST: Final = 100

#: Where the token's holder asks for what it lacks.
_ACCESS_REQUESTS: Final = "/v1/access-requests"
_SUBJECT = "access_token"
_ROUTE = "route"
_PARTS = ("subject", "action", "resource", "context")
#: When to stop, by the decision that ends it.
_SEMANTICS: Final = {
    "execute_all": None,
    "deny_on_first_deny": False,
    "permit_on_first_permit": True,
}


class Evaluations:
    """Answers policy enforcement points whose verifier key has been checked.

    Args:
        verification: makes the decisions.
    """

    def __init__(self, verification: Verification) -> None:
        self._verification = verification

    def one(self, body: bytes, companies: frozenset[str] | None) -> Reply:
        """Answer ``EVALUATION``.

        Raises:
            BrokenJSON: the request can't be understood.
            Unavailable: no decision is possible now.
        """
        return self._single(_object(body), companies)

    def several(self, body: bytes, companies: frozenset[str] | None) -> Reply:
        """Answer ``EVALUATIONS``; without a list of them as ``one`` does. Raises likewise.

        An evaluation that can't be understood is denied, with the error as its context.
        """
        request = _object(body)
        listed = request.get("evaluations")
        if listed is None or listed == []:
            return self._single(request, companies)
        if not isinstance(listed, list) or len(listed) > MOST:
            raise BrokenJSON(f"evaluations must be a list of at most {MOST}.")
        ending = _ending(request.get("options"))
        common = {name: request[name] for name in _PARTS if request.get(name) is not None}
        for name, part in common.items():
            if not isinstance(part, dict):
                raise BrokenJSON(f"{name} must be an object.")
        if not all(isinstance(each, dict) for each in listed):
            raise BrokenJSON("evaluations must be objects.")
        answers = []
        for each in listed:
            try:
                answers.append(_evaluation(self._decide({**common, **each}, companies)))
            except BrokenJSON as error:
                answers.append(_denied(error))
            if answers[-1]["decision"] is ending:
                break
        return Reply(200, JSON, msgspec.json.encode({"evaluations": answers}))

    def _single(self, request: Mapping[str, Any], companies: frozenset[str] | None) -> Reply:
        told = self._decide(request, companies)
        token = told["grant"]["id"] if "grant" in told else None
        return Reply(200, JSON, msgspec.json.encode(_evaluation(told)), token, told["reason"])

    def _decide(
        self, request: Mapping[str, Any], companies: frozenset[str] | None
    ) -> dict[str, Any]:
        """The decision, as ``/v1/verify`` answers it."""
        told: dict[str, Any] = msgspec.json.decode(
            self._verification.decide(_question(request), companies)
        )
        return told


def configuration(public_url: str) -> dict[str, str]:
    """The metadata of ``/.well-known/authzen-configuration``."""
    return {
        "policy_decision_point": public_url,
        "access_evaluation_endpoint": public_url + EVALUATION,
        "access_evaluations_endpoint": public_url + EVALUATIONS,
    }


def _evaluation(told: Mapping[str, Any]) -> dict[str, Any]:
    context = {name: told[name] for name in ("reason", "needed", "help") if name in told}
    if "help" in told and told["reason"] == Reason.permission_missing:
        site = told["help"].rpartition("/decisions/")[0]
        context["access_request"] = site + _ACCESS_REQUESTS
    return {"decision": told["allowed"], "context": context}


def _denied(error: BrokenJSON) -> dict[str, Any]:
    """The answer to one evaluation of several that isn't one (AuthZEN 1.0, 7.2.1)."""
    told = {"status": 400, "message": str(error)}
    return {"decision": False, "context": {"reason": error.reason, "error": told}}


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = parse(body)
    except InvalidInput as error:
        raise BrokenJSON("; ".join(f"{field}: {why}" for field, why in error.errors)) from None
    if not isinstance(value, dict):
        raise BrokenJSON("The body must be an object.")
    return value


def _ending(options: Any) -> bool | None:
    """The decision after which no more are made; None if all are.

    Raises:
        BrokenJSON: the semantic isn't one of the three.
    """
    if options is None:
        return None
    semantic = (
        options.get("evaluations_semantic", "execute_all") if isinstance(options, dict) else ""
    )
    if not isinstance(semantic, str) or semantic not in _SEMANTICS:
        raise BrokenJSON(f"options.evaluations_semantic must be one of {', '.join(_SEMANTICS)}.")
    return _SEMANTICS[semantic]


def _question(request: Mapping[str, Any]) -> Question:
    subject, action, resource = (_part(request, name) for name in _PARTS[:3])
    if _text(subject, "subject", "type") != _SUBJECT:
        raise BrokenJSON(f"subject.type must be {_SUBJECT}.")
    # An empty text is no token, and not the absence of one.
    token = _text(subject, "subject", "id") or "-"
    name = _text(action, "action", "name")
    kind = _text(resource, "resource", "type")
    # Required of every resource, although only a route's counts.
    id = _text(resource, "resource", "id")
    context = request.get("context")
    if context is None:
        context = {}
    elif not isinstance(context, dict):
        raise BrokenJSON("context must be an object.")
    where = []
    for each in ("address", "origin", "referer"):
        value = context.get(each)
        if value is not None and not isinstance(value, str):
            raise BrokenJSON(f"context.{each} must be a string.")
        where.append(value)
    if kind == _ROUTE and ":" not in name:
        return (token, None, name, id, *where)
    permission = name if ":" in name else f"{kind}:{name}"
    if not is_permission(permission):
        raise BrokenJSON(
            "action.name must be a permission such as charges:create, or its part after "
            "the colon with the part before it as resource.type; or a method, where resource.type "
            "is route."
        )
    return (token, permission, None, None, *where)


def _part(request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = request.get(name)
    if not isinstance(part, dict):
        raise BrokenJSON(f"{name} must be an object.")
    return part


def _text(part: Mapping[str, Any], place: str, name: str) -> str:
    text = part.get(name)
    if not isinstance(text, str):
        raise BrokenJSON(f"{place}.{name} must be a string.")
    return text
