"""What the control plane's refusals say besides their reason: permissions, address, help.

A call that was admitted and then lacked a permission is counted as a refusal of its own, so that
its ``help`` leads to a page.
"""

from dataclasses import replace

from fastapi import Request
from msgspec import structs

from gatepass.core.decision import Decision
from gatepass.core.errors import Forbidden
from gatepass.core.observed_call import OBSERVED
from gatepass.core.reason import Reason
from gatepass.verify.http.refusals import way_out
from gatepass.web.caller import address_of, admission_of, node_of
from gatepass.web.problems import Problem, problem_of_decision, problem_of_error

_REASONS = {reason.value: reason for reason in Reason}


def problem_of_refusal(request: Request, decision: Decision) -> Problem:
    """The problem for a caller who isn't admitted."""
    help = node_of(request).verifier.help(decision)
    members = way_out(decision.needed, address_of(request), help)
    return replace(problem_of_decision(decision), way_out=members)


def problem_of_forbidden(request: Request, error: Forbidden) -> Problem:
    """The problem for a caller who was admitted, and may not do this."""
    problem, admission = problem_of_error(error), admission_of(request)
    if admission is None:
        return problem
    needed = () if error.permission is None else (error.permission,)
    refused, help = _refused(admission, error), None
    if refused is not None:
        node = node_of(request)
        node.usage.note(refused, refused.at)
        help = node.verifier.help(refused)
    return replace(problem, way_out=way_out(needed, address_of(request), help))


def _refused(admission: Decision, error: Forbidden) -> Decision | None:
    """The refusal of an access token's call; None for another caller, or another kind of reason."""
    reason, grant = _REASONS.get(error.reason), admission.grant
    if reason is None or grant is None or not grant.id.startswith(OBSERVED):
        return None
    call = structs.replace(admission.call, permission=error.permission)
    return structs.replace(admission, reason=reason, call=call)
