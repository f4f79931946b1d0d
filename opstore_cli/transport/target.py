"""The daemon that a client talks to, and the token for it: a token belongs to a URL (docs/settings.md)."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import Settings
from opstore_cli.config.urls import is_loopback
from opstore_cli.local import daemon, lookup, runtime
from opstore_daemon.protocol import errors
from opstore_daemon.protocol._version import __version__

LOCAL = "local"  # the identity of the local daemon, whose port changes

Notify = Callable[[str], None]
Source = Literal["argument", "OPSTORE_TOKEN", "OPSTORE_TOKEN_FILE", "login", "token file"]


@dataclass(frozen=True, slots=True)
class Credential:
    """A token, its source, which may be printed, and a warning about it."""

    source: Source
    token: str = field(repr=False)
    warning: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """A daemon and the token for it. Targets are compared by identity: each is one location of the daemon.

    `secret`: the token that the server has to prove it knows on each new connection before anything is sent; None
    without a token, and for https, where the certificate identifies the server. `local_daemon`: the daemon of the
    runtime file, if it was found there; it may be located or started again after it has stopped. `source`: where the
    token came from.
    """

    url: str
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    local_daemon: runtime.LocalDaemon | None = None
    source: Source | None = None

    @property
    def identity(self) -> str:
        """The identity of the daemon. A restart, which changes the port of the local daemon, does not change it."""
        return LOCAL if self.local_daemon is not None else self.url

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("can't pickle a target, which may hold a token: pickle the client")


def locate(settings: Settings, token: str | None, notify: Notify) -> Target:
    """Return the daemon of the settings; start the local one if it does not run.

    `token`: a token that the caller passed as an argument. `notify` is called with lines for people, such as warnings.
    Raises UntrustedUrl, UntrustedHome, PlainHttp, InvalidSetting, DaemonNotRunning if no daemon may be started,
    DaemonDidNotStart, LocalDaemonUnreachable and ProofFailed.
    """
    if settings.url is None:
        return _local(settings, token, notify)
    own = credential(settings, token)
    if own is None:
        return Target(settings.url)
    _warn(own, notify)
    token = check_plain(settings.url, own.token)
    secret = token if settings.url.startswith("http:") else None
    return Target(settings.url, token, secret, source=own.source)


def credential(settings: Settings, token: str | None = None) -> Credential | None:
    """Return the token for the daemon of the settings, or None.

    `token`: a token that the caller passed as an argument. Raises InvalidSetting, and UntrustedUrl for a URL that only
    the working tree names and that `login` was not run for.
    """
    url = settings.url
    if settings.origin == "working tree":
        # Somebody else may have chosen this URL: no other token is sent to it.
        stored = _stored(settings)
        if stored is None:
            raise errors.UntrustedUrl(url=url, path=str(settings.named_by))
        return stored
    explicit = _explicit_credential(settings, token)
    if explicit is not None or url is None:
        return explicit or _of_home(settings, runtime.recorded(settings.home))
    stored = _stored(settings)
    if stored is not None:
        return stored
    recorded = runtime.recorded(settings.home)
    if recorded is None or recorded.url != url:
        return None
    return _of_home(settings, recorded)


def check_plain(url: str, token: str) -> str:
    """Return the token if it may be sent to the URL. Raises PlainHttp."""
    if url.startswith("http:") and not is_loopback(url):
        raise errors.PlainHttp(url=url)
    return token


def _explicit_credential(settings: Settings, token: str | None) -> Credential | None:
    if token:
        return Credential("argument", token)
    from_environment = settings.environment_token()
    if from_environment is None:
        return None
    source: Source = "OPSTORE_TOKEN" if settings.token is not None else "OPSTORE_TOKEN_FILE"
    return Credential(source, from_environment, warning=settings.warning())


def _of_home(settings: Settings, daemon: runtime.LocalDaemon | None) -> Credential:
    return Credential("token file", runtime.read_secret(settings.home, daemon))


def _stored(settings: Settings) -> Credential | None:
    credentials = Credentials()
    token = None if settings.url is None else credentials.token(settings.url)
    return None if token is None else Credential("login", token, warning=credentials.warning())


def _local(settings: Settings, token: str | None, notify: Notify) -> Target:
    if settings.autostart:
        running = daemon.ensure_running(settings.home)
    else:
        found = lookup.find(settings.home)
        if found is None:
            raise errors.DaemonNotRunning(home=str(settings.home))
        running = found
    if running.started:
        notify(f"started the local daemon at {running.url}; it stops when idle, or with: opstore stop")
    if running.version != __version__:
        notify(
            f"the local daemon runs opstore {running.version}, this is opstore {__version__}; "
            "opstore restart replaces it"
        )
    secret = runtime.read_secret(settings.home, running)
    own = _explicit_credential(settings, token) or Credential("token file", secret)
    _warn(own, notify)
    return Target(running.url, own.token, running.secret(secret), running, own.source)


def _warn(used: Credential, notify: Notify) -> None:
    if used.warning is not None:
        notify(used.warning)
