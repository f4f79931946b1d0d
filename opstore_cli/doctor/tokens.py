"""Checks of the tokens: whether others can read them, and whether they are used. No token is printed."""

import os
import stat

from opstore_cli.client import token_handover
from opstore_cli.config.credentials import Credentials
from opstore_cli.config.urls import is_loopback
from opstore_cli.doctor.advice import advice_for
from opstore_cli.doctor.machine import Machine, Result, ok, problem, quoted
from opstore_cli.files import private
from opstore_cli.local import runtime
from opstore_daemon.protocol import errors

MIN_LENGTH = 16  # characters; the daemon refuses a shorter token


def token_file(machine: Machine) -> Result | None:
    """Check the token file of the local daemon."""
    recorded = runtime.recorded(machine.home)
    if recorded is not None and recorded.token_file is not None:
        return _given(machine, recorded)
    path = machine.home / runtime.TOKEN_FILE
    if not os.path.lexists(path):
        return ok(f"{path} is created when a daemon first starts") if machine.home.is_dir() else None
    renew = (
        f"mv {quoted(path)} {quoted(path.with_name(path.name + '.old'))}, then opstore restart, which creates a new one"
    )
    try:
        token = runtime.read_secret(machine.home, None)
    except errors.InvalidSetting as error:
        cause = error.__cause__
        return problem(error.text, advice_for(cause, path) if isinstance(cause, OSError) else renew)
    if len(token) < MIN_LENGTH:
        return problem(f"{path} has no complete token", renew)
    if not private.is_own(path.stat()):
        return problem(f"{path} belongs to another user", f"run opstore as that user, or {renew}")
    if private.readable_by_others(path):
        return problem(f"others can read {path}", f"chmod 600 {quoted(path)}")
    return ok(f"{path} exists, and only you can read it")


def _given(machine: Machine, daemon: runtime.LocalDaemon) -> Result:
    """Check the file that the daemon's own OPSTORE_TOKEN_FILE names."""
    try:
        runtime.read_secret(machine.home, daemon)
    except errors.InvalidSetting as error:
        return problem(error.text, "put it back, or restart the daemon with another OPSTORE_TOKEN_FILE")
    return ok(f"the daemon has its token from {daemon.token_file} (OPSTORE_TOKEN_FILE), and you can read it")


def credentials(_machine: Machine) -> Result | None:
    """Check the tokens that `login` stored."""
    stored = Credentials()
    if not os.path.lexists(stored.path):
        return ok("not logged in to any URL")
    try:
        tokens = stored.tokens()
    except errors.InvalidSetting as error:
        cause, aside = error.__context__, stored.path.with_suffix(".old")
        renew = f"mv {quoted(stored.path)} {quoted(aside)}, then log in again"
        return problem(error.text, advice_for(cause, stored.path) if isinstance(cause, OSError) else renew)
    if private.readable_by_others(stored.path):
        return problem(f"others can read {stored.path}", f"chmod 600 {quoted(stored.path)}")
    if os.name == "posix" and stored.path.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return problem(f"others can write to {stored.path.parent}", f"chmod go-w {quoted(stored.path.parent)}")
    plain = [url for url in tokens if url.startswith("http:") and not is_loopback(url)]
    if plain:
        return problem(
            f"{stored.path} has a token for {plain[0]}, to which no token is sent", f"opstore logout {plain[0]}"
        )
    return ok(f"{stored.path} has tokens for {', '.join(sorted(tokens)) or 'no URL'}")


def environment(machine: Machine) -> Result | None:
    """Check OPSTORE_TOKEN and OPSTORE_TOKEN_FILE."""
    found = machine.settings
    if found is None or (found.token is None and found.token_file is None):
        return None
    name = "OPSTORE_TOKEN" if found.token is not None else "OPSTORE_TOKEN_FILE"
    found.environment_token()  # raises if it can't be read, which examine() reports
    if found.warning() is not None and found.token_file is not None:
        return problem(f"others can read {found.token_file}", f"chmod 600 {quoted(found.token_file)}")
    if found.origin == "working tree":
        return ok(f"{name} is set, and is not sent to {found.url}, which only the working tree names")
    if found.token is not None and found.token_file is not None:
        return ok("OPSTORE_TOKEN is set, so OPSTORE_TOKEN_FILE is not used")
    return ok(f"{name} is set")


def orphaned_files(machine: Machine) -> Result | None:
    """Check for token files for pickled clients whose process was killed."""
    orphaned = list(token_handover.orphaned_files(machine.home))
    if orphaned:
        found = f"{machine.home / token_handover.FOLDER} has token files of processes that were killed"
        return problem(found, "the next client that is pickled deletes them")
    return None
