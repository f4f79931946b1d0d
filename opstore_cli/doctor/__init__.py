"""The checks of `opstore doctor`: functions that examine the machine, return a result and change nothing."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from opstore_cli.doctor import bucket, daemon, database, home, remote, settings, tokens
from opstore_cli.doctor.advice import advice_for
from opstore_cli.doctor.machine import Machine, Result, problem
from opstore_daemon.protocol import errors

Check = Callable[[Machine], Result | None]

# A check may rely on those before it. It returns None if there is nothing to check.
CHECKS: dict[str, Check] = {
    "settings": settings.settings,
    "working tree": settings.working_tree,
    "home": home.folder,
    "owners": home.owners,
    "disk": home.disk,
    "locks": home.locks,
    "times": home.times,
    "token file": tokens.token_file,
    "credentials": tokens.credentials,
    "environment": tokens.environment,
    "handed": tokens.orphaned_files,
    "sqlite": database.sqlite,
    "schema": database.schema,
    "daemon": daemon.daemon,
    "answer": remote.url,
    "token": remote.token,
    "clock": remote.clock,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check; `advice` says what to do, None if `ok`."""

    check: str
    ok: bool
    found: str
    advice: str | None


def examine(machine: Machine, saver: str | None = None) -> list[Finding]:
    """Run all checks, and return the findings of those that had something to check.

    `saver` is the URL of an object store to try, too.
    """
    findings = []
    for name, check in CHECKS.items():
        result = _run(check, machine)
        if result is not None:
            findings.append(Finding(name, result.advice is None, result.found, result.advice))
    if saver is not None:
        found = bucket.probe(saver)
        findings += [Finding(each.check, each.advice is None, each.found, each.advice) for each in found]
    return findings


def _run(check: Check, machine: Machine) -> Result | None:
    try:
        return check(machine)
    except errors.OpStoreError as error:
        return problem(error.text, error.advice or "fix that, and run opstore doctor again")
    except OSError as error:
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else machine.home
        return problem(f"{path} can't be used: {errors.reason(error)}", advice_for(error, path))
