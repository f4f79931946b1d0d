"""OpStoreClient: the verbs of the store, over HTTP."""

import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from opstore_cli import config, target
from opstore_cli.asking import Body, Response
from opstore_cli.base import BaseOpStoreClient, Progress, say_nothing
from opstore_cli.http import Http


class OpStoreClient(BaseOpStoreClient):
    """A client of a daemon. Without arguments it finds (or starts) the local one, as the commands do.

    `progress` is called with (bytes so far, all bytes or None) while bytes move, and may be set later; `notify` with a
    line for people, such as "started the local daemon at ...". May be used from several threads, and in a process that
    was forked. Nothing is sent, and no daemon looked for, before the first verb is called. Every verb raises
    `OpStoreError`s.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        settings: config.Settings | None = None,
        progress: Progress | None = None,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        """Raises InvalidSetting. `url` counts as given outright: what the settings name is not asked then."""
        super().__init__(progress=progress)
        if settings is None:
            settings = config.load(None, os.environ, config.working_folder())
        self.settings = settings if url is None else settings.with_url(url)
        self._home = self.settings.home
        self._allow_pickle = self.settings.allow_pickle
        self._notify = notify or say_nothing
        self._http = Http(lambda: target.locate(self.settings, token, self._notify))

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
        """The daemon that this client talks to; looks for it if that was not done yet."""
        return self._http.target

    @property
    def address(self) -> str:
        return self.target.url

    @property
    def identity(self) -> str:
        return self.target.identity

    def close(self) -> None:
        """Closes the connections. The client may be used again after it."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
