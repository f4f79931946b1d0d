"""What `opstore doctor` looks at: each check is one function that looks, changes nothing, and says what it found."""

from collections.abc import Callable
from dataclasses import dataclass

from opstore_cli.doctor import daemon, database, home, remote, settings, tokens
from opstore_cli.doctor.machine import Machine, Result, problem
from opstore_daemon.protocol import errors

Check = Callable[[Machine], Result | None]

# In the order in which one thing rests on another. None is said where there is nothing to look at.
CHECKS: dict[str, Check] = {
    "settings": settings.settings,
    "working tree": settings.working_tree,
    "home": home.folder,
    "disk": home.disk,
    "locks": home.locks,
    "times": home.times,
    "token file": tokens.token_file,
    "credentials": tokens.credentials,
    "environment": tokens.environment,
    "handed": tokens.handed_over,
    "sqlite": database.sqlite,
    "schema": database.schema,
    "daemon": daemon.daemon,
    "answer": remote.answer,
    "token": remote.token,
    "clock": remote.clock,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `advice` says what to do where it is not `ok`."""

    check: str
    ok: bool
    found: str
    advice: str | None


def examine(machine: Machine) -> list[Finding]:
    """What every check found that had something to look at."""
    findings = []
    for name, check in CHECKS.items():
        result = _looked(check, machine)
        if result is not None:
            findings.append(Finding(name, result.advice is None, result.found, result.advice))
    return findings


def _looked(check: Check, machine: Machine) -> Result | None:
    try:
        return check(machine)
    except errors.OpStoreError as error:
        return problem(error.text, error.advice or "mend that, and run opstore doctor again")
    except OSError as error:
        return problem(str(error), "mend that, and run opstore doctor again")
