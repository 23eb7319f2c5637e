"""A problem document as the framework's response."""

from starlette.responses import Response

from gatepass.web.problems import Problem


def problem_response(problem: Problem) -> Response:
    """*problem*, ready to be sent."""
    return Response(problem.body(), problem.status, headers=dict(problem.headers()))
