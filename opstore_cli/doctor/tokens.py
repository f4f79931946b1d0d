"""The tokens: that nobody else can read them, and that each is where it counts. None is ever shown."""

import os
import stat

from opstore_cli.client import token_handover
from opstore_cli.config.credentials import Credentials
from opstore_cli.config.urls import is_loopback
from opstore_cli.doctor.machine import Machine, Result, belongs_to_another, ok, problem, quoted
from opstore_cli.files import private
from opstore_cli.local import daemon
from opstore_daemon.protocol import errors

SHORTEST = 16  # letters; the daemon refuses a shorter one


def token_file(machine: Machine) -> Result | None:
    """The local daemon's token."""
    path = machine.home / daemon.TOKEN_FILE
    if not os.path.lexists(path):
        return ok(f"{path} is made when a daemon first starts") if machine.home.is_dir() else None
    try:
        token = daemon.read_secret(machine.home)
    except errors.InvalidSetting as error:
        return problem(error.text, f"rm {quoted(path)}, then opstore restart: it makes a new one")
    if len(token) < SHORTEST:
        return problem(f"{path} holds no whole token", f"rm {quoted(path)}, then opstore restart: it makes a new one")
    if belongs_to_another(path):
        return problem(
            f"{path} belongs to another user", f"rm {quoted(path)}, then opstore restart: it makes a new one"
        )
    if private.readable_by_others(path):
        return problem(f"others can read {path}", f"chmod 600 {quoted(path)}")
    return ok(f"{path} is there, and yours alone")


def credentials(_scene: Machine) -> Result | None:
    """What `login` kept."""
    kept = Credentials()
    if not os.path.lexists(kept.path):
        return ok("login was not run")
    try:
        tokens = kept.tokens()
    except errors.InvalidSetting as error:
        return problem(error.text, "opstore logout --all, then log in again")
    if private.readable_by_others(kept.path):
        return problem(f"others can read {kept.path}", f"chmod 600 {quoted(kept.path)}")
    if os.name == "posix" and kept.path.parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return problem(f"others can write to {kept.path.parent}", f"chmod go-w {quoted(kept.path.parent)}")
    plain = [url for url in tokens if url.startswith("http:") and not is_loopback(url)]
    if plain:
        return problem(f"{kept.path} has a token for {plain[0]}, where none is sent", f"opstore logout {plain[0]}")
    return ok(f"{kept.path} has tokens for {', '.join(sorted(tokens)) or 'no URL'}")


def environment(machine: Machine) -> Result | None:
    """OPSTORE_TOKEN and OPSTORE_TOKEN_FILE."""
    found = machine.settings
    if found is None or (found.token is None and found.token_file is None):
        return None
    name = "OPSTORE_TOKEN" if found.token is not None else "OPSTORE_TOKEN_FILE"
    found.given_token()  # raises what examine() reports
    if found.warning() is not None and found.token_file is not None:
        return problem(f"others can read {found.token_file}", f"chmod 600 {quoted(found.token_file)}")
    if found.origin == "working tree":
        return ok(f"{name} is set, and is not sent to {found.url}, which only the working tree names")
    if found.token is not None and found.token_file is not None:
        return ok("OPSTORE_TOKEN is set, so OPSTORE_TOKEN_FILE is not used")
    return ok(f"{name} is set")


def handed_over(machine: Machine) -> Result | None:
    """What processes that were killed left for their workers."""
    left = list(token_handover.orphaned_files(machine.home))
    if left:
        found = f"{machine.home / token_handover.FOLDER} has tokens that are left over from processes that were killed"
        return problem(found, f"rm {' '.join(quoted(path) for path in left)}")
    return None
