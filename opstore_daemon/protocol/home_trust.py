"""Check whose data folder OPSTORE_HOME is, before a file there is opened or written."""

import os
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from opstore_daemon.protocol import errors

ALLOW = "OPSTORE_ALLOW_FOREIGN_HOME"


def check_home(home: Path, environ: Mapping[str, str] = os.environ, setting: str = "OPSTORE_HOME") -> None:
    """Raise UntrustedHome if everybody can write to the folder, or if its owner is neither root nor this user.

    A folder that does not exist is judged by the owner of the folder in which it would be created. The rule holds for
    root, too: a user can't read or replace files that root writes into the user's folder, as under sudo.
    OPSTORE_ALLOW_FOREIGN_HOME=1 overrides it, for containers and user namespaces. A folder that can't be examined
    passes: its first use reports why. `setting` is the variable that chooses the folder.
    """
    if os.name != "posix" or _is_allowed(environ):
        return
    found = _status(home)
    if found is not None and stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_IWOTH:
        reason, advice = "everybody can write to it", f"chmod o-w {shlex.quote(str(home))}, or set {setting}"
        raise errors.UntrustedHome(home=str(home), reason=reason, advice=advice)
    folder = home
    while found is None and folder != folder.parent:
        folder = folder.parent
        found = _status(folder)
    if found is not None and found.st_uid not in (0, os.geteuid()):
        owner = user_name(found.st_uid)
        reason = f"{'it' if folder == home else folder} belongs to {owner}, and this process runs as {user_name()}"
        advice = f"run opstore as {owner}, or set {setting} to a folder of your own; {ALLOW}=1 allows it"
        raise errors.UntrustedHome(home=str(home), reason=reason, advice=advice)


def user_name(uid: int | None = None) -> str:
    """Return the name of a user, by default of the one that this process runs as, or else `user 1234`."""
    import pwd

    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _is_allowed(environ: Mapping[str, str]) -> bool:
    text = environ.get(ALLOW, "")
    if text not in ("", "0", "1"):
        raise errors.InvalidSetting(setting=ALLOW, reason="it must be 1 or 0")
    return text == "1"


def _status(path: Path) -> os.stat_result | None:
    """Return the status of what the path leads to; None if there is nothing, or it can't be examined."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None
