"""Which daemon a client talks to, and which token goes there: a token belongs to a URL (CONTRACT section 7)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from opstore_cli import local_daemon
from opstore_cli.config import Settings, is_loopback
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.release import __version__

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A daemon. Two of them are never equal: each finding is its own.

    `secret` is the token that each new connection has to prove it knows before anything is sent on it; None where
    the URL itself says who answers. `found` is the runtime file's record where the daemon was found by it, and may
    be looked for (or started) again when it has gone.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    found: local_daemon.Running | None = None

    @property
    def identity(self) -> str:
        """What stays the same of it: the local daemon's port changes with each start."""
        return "local" if self.found is not None else self.url


def locate(settings: Settings, token: str | None, notify: Notify) -> Target:
    """The daemon that the settings mean, the local one started where none runs.

    `notify` gets a line for people about what happened on the way. Raises UntrustedUrl, PlainHttp, InvalidSetting,
    DaemonNotRunning (where none may be started), DaemonDidNotStart or ProofFailed.
    """
    if settings.url is None:
        return _local(settings, token, notify)
    if settings.origin == "working tree":
        raise errors.UntrustedUrl(url=settings.url, path=str(settings.named_by))
    given = token or settings.given_token()
    if given is None:
        return _without_given_token(settings, settings.url)
    _warn(settings, notify)
    return Target(settings.url, check_plain(settings.url, given))


def check_plain(url: str, token: str) -> str:
    """The token, if it may be sent there; raises PlainHttp."""
    if url.startswith("http:") and not is_loopback(url):
        raise errors.PlainHttp(url=url)
    return token


def _without_given_token(settings: Settings, url: str) -> Target:
    recorded = local_daemon.recorded(settings.home)
    if recorded is None or recorded.url != url:
        return Target(url)
    secret = local_daemon.read_secret(settings.home)
    return Target(url, secret, secret)


def _local(settings: Settings, token: str | None, notify: Notify) -> Target:
    if settings.autostart:
        running = local_daemon.ensure(settings.home)
    else:
        found = local_daemon.find(settings.home)
        if found is None:
            raise errors.DaemonNotRunning(home=str(settings.home))
        running = found
    if running.started:
        notify(f"started the local daemon at {running.url}; it stops when it is idle, or by: opstore stop")
    if running.version != __version__:
        notify(f"the local daemon is opstore {running.version}, this is {__version__}: opstore restart replaces it")
    _warn(settings, notify)
    secret = local_daemon.read_secret(settings.home)
    return Target(running.url, token or settings.given_token() or secret, secret, running)


def _warn(settings: Settings, notify: Notify) -> None:
    warning = settings.warning()
    if warning is not None:
        notify(warning)
