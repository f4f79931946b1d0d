"""The daemon that the settings mean, asked as any command asks it: whether it answers, takes the token, and when."""

from opstore_cli.doctor.machine import Machine, Result, ok, problem
from opstore_cli.transport import target
from opstore_cli.transport.interface import UNKNOWN_HOST
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

LARGEST_SKEW = 60.0  # seconds


def answer(machine: Machine) -> Result | None:
    """An opstore daemon answers at the URL that is set: its name is known, and its certificate trusted."""
    asked = machine.asked
    if machine.settings is None or machine.settings.url is None or asked is None:
        return None
    if isinstance(asked, errors.Unreachable):
        return problem(asked.text, _to_reach_it(asked))
    if isinstance(asked, errors.TokenRequired | errors.ScopeRequired):
        return ok(f"an opstore daemon answers at {machine.settings.url}")
    if isinstance(asked, errors.OpStoreError):
        return None  # it was not asked, or another check tells
    version = asked.status.version
    other = "" if version == __version__ else f" (this is {__version__})"
    return ok(f"opstore {version} answers at {machine.settings.url}{other}")


def _to_reach_it(error: errors.Unreachable) -> str:
    reason = str(error.details.get("reason", ""))
    if "certificate" in reason:
        return "set REQUESTS_CA_BUNDLE to a file of the certificates to trust"
    if UNKNOWN_HOST in reason:
        return "correct the URL, or opstore --url URL ..."
    return error.advice


def token(machine: Machine) -> Result | None:
    """The daemon takes the token that is sent to it."""
    asked, settings = machine.asked, machine.settings
    if settings is None or asked is None or isinstance(asked, errors.Unreachable | errors.UntrustedUrl):
        return None
    if isinstance(asked, errors.OpStoreError) and not isinstance(asked, errors.TokenRequired | errors.ProofFailed):
        return problem(asked.text, asked.advice or "run the command again")
    sent = target.credential(settings)
    where = settings.url or "the local daemon"
    if not isinstance(asked, errors.OpStoreError):
        return ok(f"{where} takes the token ({sent.source if sent is not None else 'none was needed'})")
    if sent is None:
        return problem(f"{where} wants a token, and there is none for it", f"opstore login {where}")
    advice = {
        "login": f"opstore login {where}",
        "token file": "opstore restart",
    }.get(sent.source, f"unset {sent.source}, or set it to a token that is known there")
    return problem(f"{where} does not know the token ({sent.source})", advice)


def clock(machine: Machine) -> Result | None:
    """Its clock agrees with ours. The store orders by its own sequence, but people compare times."""
    asked = machine.asked
    if asked is None or isinstance(asked, errors.OpStoreError) or asked.ahead is None:
        return None
    if abs(asked.ahead) > LARGEST_SKEW:
        side = "ahead of" if asked.ahead > 0 else "behind"
        return problem(f"its clock is {abs(asked.ahead):.0f} s {side} this machine's", "set both clocks (NTP)")
    return ok("its clock agrees with this machine's")
