"""Checks of the daemon of the settings, with a request as any command sends it: URL, token and clock."""

from opstore_cli.config.settings import Settings
from opstore_cli.doctor.machine import Machine, Result, ok, problem
from opstore_cli.transport import hints, target
from opstore_cli.transport.interface import UNKNOWN_HOST
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

MAX_SKEW = 60.0  # seconds


def url(machine: Machine) -> Result | None:
    """Check that an opstore daemon responds at the URL of the settings."""
    response = machine.response
    if machine.settings is None or machine.settings.url is None or response is None:
        return None
    if isinstance(response, errors.Unreachable):
        return problem(response.text, _advice(response, machine.settings))
    if isinstance(response, errors.TokenRequired | errors.ScopeRequired):
        return ok(f"an opstore daemon answers at {machine.settings.url}")
    if isinstance(response, errors.OpStoreError):
        return None  # another check reports it
    version = response.status.version
    other = "" if version == __version__ else f" (this is {__version__})"
    return ok(f"opstore {version} answers at {machine.settings.url}{other}")


def _advice(error: errors.Unreachable, settings: Settings) -> str:
    if UNKNOWN_HOST in str(error.details.get("reason", "")):
        return "correct the URL, or opstore --url URL ..."
    return hints.advice_for(error, settings)


def token(machine: Machine) -> Result | None:
    """Check that the daemon accepts the token."""
    response, settings = machine.response, machine.settings
    if settings is None or response is None or isinstance(response, errors.Unreachable | errors.UntrustedUrl):
        return None
    if isinstance(response, errors.OpStoreError) and not isinstance(
        response, errors.TokenRequired | errors.ProofFailed
    ):
        return problem(response.text, response.advice or "run the command again")
    sent = target.credential(settings)
    where = settings.url or "the local daemon"
    if not isinstance(response, errors.OpStoreError):
        return ok(f"{where} accepts the token ({sent.source if sent is not None else 'none was needed'})")
    if sent is None:
        return problem(f"{where} requires a token, and there is none for it", f"opstore login {where}")
    advice = {
        "login": f"opstore login {where}",
        "token file": "opstore restart",
    }.get(sent.source, f"unset {sent.source}, or set it to a token that the daemon knows")
    return problem(f"{where} does not know the token ({sent.source})", advice)


def clock(machine: Machine) -> Result | None:
    """Check that the daemon's clock agrees with this machine's. Only people who compare times rely on that."""
    response = machine.response
    if response is None or isinstance(response, errors.OpStoreError) or response.ahead is None:
        return None
    if abs(response.ahead) > MAX_SKEW:
        side = "ahead of" if response.ahead > 0 else "behind"
        return problem(
            f"the daemon's clock is {abs(response.ahead):.0f} s {side} this machine's", "set both clocks (NTP)"
        )
    return ok("the daemon's clock agrees with this machine's")
