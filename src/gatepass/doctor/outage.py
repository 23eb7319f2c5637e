"""Whether the gateway lets anybody in while Gatepass is away."""

from gatepass.core.credentials import ACCESS_TOKEN, make
from gatepass.doctor import findings
from gatepass.doctor.findings import Finding
from gatepass.doctor.probes import REFUSED, Prober
from gatepass.doctor.wire import Gateway


def outage(gateway: Gateway, path: str) -> Finding:
    """Send calls while Gatepass is stopped; none of them has a token that opens anything.

    Raises:
        Unreachable: the gateway is away, too.
    """
    text = make(ACCESS_TOKEN).text
    prober = Prober(gateway, path, text, text[5:11].lower())
    probes = [
        prober.call(),
        prober.call(credential=()),
        prober.call("HEAD"),
        prober.call("POST", f"{path.rstrip('/')}/gatepass-doctor-{prober.run}"),
    ]
    if any(probe.told and probe.told != "unavailable" for probe in probes):
        return findings.OUTAGE.not_checked("Gatepass still answers the gateway: stop every node")
    if all(probe.answer.status in REFUSED for probe in probes):
        return findings.OUTAGE.not_checked(
            "the gateway refuses all calls, and doesn't say whether Gatepass did: mend refusals"
        )
    open_ = [
        f"{probe.call} was answered {probe.answer.status}"
        for probe in probes
        if probe.answer.status < 500
    ]
    statuses = sorted({probe.answer.status for probe in probes})
    return findings.OUTAGE.of(open_, f"answered {', '.join(map(str, statuses))}")
