"""Read which process holds the lock of a home, and where that process listens."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from opstore_cli.config import tokens, urls
from opstore_cli.files import private
from opstore_cli.files.locks import refusal, try_lock
from opstore_daemon.protocol import errors, proof, runtime_file
from opstore_daemon.protocol.runtime_file import LOCK_FILE, RuntimeFile
from opstore_daemon.system.files import open_regular

TOKEN_FILE = "token"  # noqa: S105 - a file's name
LOG_FILE = "daemon.log"


@dataclass(frozen=True, slots=True)
class LocalDaemon:
    """A local daemon. `version` is its version of opstore; `started` says whether this call started it.

    `host` and `pid_namespace` say where `pid` is valid; both are empty if they are unknown. `token_file` has its
    token; None: the file in the home has it.
    """

    url: str
    pid: int
    port: int
    version: str
    started_at: str = ""
    started: bool = False
    host: str = ""
    pid_namespace: str = ""
    instance: str | None = field(default=None, repr=False)
    token_file: Path | None = None

    def secret(self, token: str) -> str:
        """Return the secret that only this daemon and those who can read its home know."""
        return proof.secret_of(token, self.instance)


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a home's lock: its daemon, or None while it has published no address."""

    daemon: LocalDaemon | None


def read_holder(home: Path) -> Holder | None:
    """Return the process that holds the home's lock; None if none does.

    A runtime file that another process has left, or that was copied with the home, does not count. Raises
    InvalidSetting if the lock can't be examined.
    """
    path = home / LOCK_FILE
    with errors.translated_writes(str(path), to=errors.InvalidSetting, setting=f"OPSTORE_HOME ({path})"):
        try:
            # A shared lock, so that checks can run concurrently, works on a file that can only be read.
            descriptor = open_regular(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            state = try_lock(descriptor, shared=True)
            if state == "acquired":
                return None
            if state == "unsupported":
                raise refusal(descriptor)
            found = runtime_file.read(home)
            return Holder(_daemon_of(found) if found is not None and found.is_of(descriptor) else None)
        finally:
            os.close(descriptor)


def _daemon_of(found: RuntimeFile) -> LocalDaemon | None:
    """Return the daemon that the file describes; None unless it is on loopback and the file is consistent."""
    try:
        url = urls.check_url(found.url, runtime_file.RUNTIME_FILE)
        port = urlsplit(url).port or urls.PORTS["http"]
    except (ValueError, errors.InvalidSetting):
        return None
    if not url.startswith("http:") or not urls.is_loopback(url) or port != found.port:
        return None
    return LocalDaemon(
        url,
        found.pid,
        found.port,
        found.version,
        found.started_at,
        host=found.host,
        pid_namespace=found.pid_namespace,
        instance=found.instance,
        token_file=Path(found.token_file) if found.token_file else None,
    )


def recorded(home: Path) -> LocalDaemon | None:
    """Return the daemon that holds the home and has published its address, without asking whether it responds."""
    holder = read_holder(home)
    return None if holder is None else holder.daemon


def token_path(home: Path, daemon: LocalDaemon | None) -> Path:
    """Return the file with the token of the home's daemon; `daemon`: None if it does not run."""
    return home / TOKEN_FILE if daemon is None or daemon.token_file is None else daemon.token_file


def read_secret(home: Path, daemon: LocalDaemon | None) -> str:
    """Return the token of the home's daemon; `daemon`: None if it does not run. Raises InvalidSetting."""
    if daemon is not None and daemon.token_file is not None:
        # As OPSTORE_TOKEN_FILE: a secret that is mounted is a link, and belongs to somebody else.
        return tokens.read_token(daemon.token_file, "the token file")
    path = home / TOKEN_FILE
    named = f"the token file ({path})"
    with errors.translated(OSError, to=errors.InvalidSetting, setting=named):
        data = private.read(path, tokens.MAX_FILE)
    return tokens.parse_token(data, named)
