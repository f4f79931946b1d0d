"""OpStoreClient: the verbs of the store, over HTTP."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from opstore_cli.client import advice, arguments, warnings
from opstore_cli.client.base import BaseOpStoreClient, Warn
from opstore_cli.client.mixin import ignore
from opstore_cli.client.progress import ProgressOption
from opstore_cli.config import tokens
from opstore_cli.config.settings import Settings, load_settings, working_folder
from opstore_cli.transport import target
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.http import HttpTransport
from opstore_cli.transport.interface import Body, Response
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.transfer.cache import Cache


class OpStoreClient(BaseOpStoreClient):
    """A client of a daemon. Without arguments it finds or starts the local one, as the commands do.

    `progress`: whether transfers that take longer than half a second show their progress, or a function, which is
    called with (bytes so far, total bytes or None). None, the default, shows it to a person: in a notebook, and at the
    prompt of a Python on a terminal. True shows it anywhere, on stderr. `warn` is called with each yanked version that
    a reference selected; by default it issues a `YankedWarning`. Both may be set later. `notify` is called with
    messages for people, such as "started the local daemon at ...". `author` is whom the journal names for the
    changes: by default the setting `author`, else the user's name and the host's.

    A client may be used from several threads, in a forked process and, pickled, in another process of the same user.
    It neither sends anything nor looks for a daemon before the first verb is called. Every verb raises `OpStoreError`s.

    A pickle contains no token and no callbacks. A token that was passed as an argument or in OPSTORE_TOKEN is
    passed on in a file that exists as long as this process; the other process finds any other token as this one does.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        settings: Settings | None = None,
        progress: ProgressOption = None,
        warn: Warn | None = None,
        notify: Callable[[str], None] | None = None,
        author: str | None = None,
    ) -> None:
        """Load the settings, unless they are passed; `url` and `author` override theirs. Raises InvalidSetting."""
        super().__init__(progress=progress, warn=warn, author=author)
        with advice.notes("OpStoreClient()"):
            self._set_up(url, token, settings, notify or ignore)

    def _set_up(
        self, url: str | None, token: str | None, settings: Settings | None, notify: Callable[[str], None]
    ) -> None:
        url = None if url is None else arguments.text("url", url)
        token = None if token is None else arguments.text("token", token)
        if not isinstance(settings, Settings | None):
            raise errors.InvalidArgument(
                argument="settings", expected="Settings", actual=type(settings).__name__, advice=""
            )
        if settings is None:
            settings = load_settings(None, os.environ, working_folder())
            for line in settings.warnings:
                notify(line)
        self.settings = settings if url is None else settings.with_url(url)
        self._home = self.settings.home
        self._author = self._author or self.settings.author
        self._token = tokens.check_token(token, "the token") if token else None
        self._token_path: Path | None = None  # the file with the token of an unpickled client
        self._allow_pickle = self.settings.allow_pickle
        self._open(notify)

    def _open(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._http = HttpTransport(lambda: target.locate(self.settings, self._explicit_token(), self._notify))
        self._api.direct = self._http.direct

    def _explicit_token(self) -> str | None:
        if self._token is None and self._token_path is not None:
            from opstore_cli.client import token_handover

            self._token = token_handover.read_token_file(self._token_path)
        return self._token

    def __getstate__(self) -> dict[str, Any]:
        state = {**vars(self), "settings": self.settings.without_token(), "_token_path": self._write_token_file()}
        for name in ("_token", "_http", "_api", "_notify", "warn", "warn_not_recorded"):
            del state[name]
        if callable(self._progress):
            state["_progress"] = None
        return state

    def _write_token_file(self) -> Path | None:
        token = self._token or self.settings.token
        if self.settings.origin == "working tree":
            return None  # no token is sent to a URL that somebody else may have chosen
        if token is None:
            return self._token_path
        from opstore_cli.client import token_handover

        return token_handover.write_token_file(self.settings.home, token)

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _token=None, _api=ApiClient(self), warn=warnings.warn)
        self.warn_not_recorded = warnings.warn_not_recorded
        self._open(ignore)
        # Read it early, before the file is deleted. If that fails, a verb raises: an error here would end a worker.
        with suppress(errors.TokenUnavailable):
            self._explicit_token()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.settings.url or f'the local daemon in {self.settings.home}'}>"

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        return self._http.request(method, path, headers=headers, parameters=parameters, body=body)

    @property
    def target(self) -> target.Target:
        """The daemon that requests go to. It is located, or started, on first access."""
        with advice.notes("client.target"):
            return self._http.target

    @property
    def address(self) -> str:
        return self.target.url

    @property
    def identity(self) -> str:
        return self.target.identity

    def _cache(self) -> "Cache":
        from opstore_cli.transfer.cache import Cache

        return Cache(self.settings.cache or self.settings.home / "cache", self.settings.cache_size)

    def close(self) -> None:
        """Close the connections. A later request opens new ones.

        Examples:
            >>> client.close()
        """
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
