"""The global options of one run of the command line, and the settings and client that they select."""

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli.output.document import Output

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.config.settings import Settings
    from opstore_daemon.protocol.errors import OpStoreError
    from opstore_daemon.protocol.records import PickedYanked


def _advice(error: "OpStoreError", *, settings: "Settings") -> str:
    from opstore_cli.transport.hints import advice_for

    return advice_for(error, settings)


@dataclass(slots=True)
class Session:
    """The global options of one run of the command line."""

    url: str | None = None
    out: Output = field(default_factory=Output)
    _warned: "set[PickedYanked]" = field(default_factory=set)
    _warnings: set[str] = field(default_factory=set)

    def settings(self) -> "Settings":
        """Return the settings of this run, and warn once of files that could not be read. Raises InvalidSetting."""
        from opstore_cli.config.settings import load_settings, working_folder

        settings = load_settings(self.url, os.environ, working_folder())
        for line in settings.warnings:
            if line not in self._warnings:
                self._warnings.add(line)
                self.out.warn(line)
        self.out.advise = partial(_advice, settings=settings)
        return settings

    def home(self) -> Path:
        """Return the data folder of the local daemon, even if a URL is set. Raises InvalidSetting."""
        from opstore_cli.config.settings import home_folder, working_folder

        return home_folder(os.environ, working_folder())

    def client(self, settings: "Settings | None" = None) -> "OpStoreClient":
        """Return a client, which starts the local daemon if the settings name no URL and none runs."""
        from opstore_cli.client.client import OpStoreClient

        client = OpStoreClient(
            settings=settings or self.settings(),
            progress=self.out.moved,
            warn=self._warn,
            notify=lambda line: self.out.note(line, always=True),
        )
        if self.out.verbose:
            from opstore_cli.console.details import show_log

            show_log(self.out)
        client.warn_not_recorded = lambda *_: None  # the commands say it with their results
        return client

    def _warn(self, picked: "PickedYanked") -> None:
        """Warn about a yanked version once, even if a command requests it several times."""
        if picked not in self._warned:
            self._warned.add(picked)
            self.out.warn(str(picked))
