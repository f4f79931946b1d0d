"""The global options of one run of the command line, and the client and settings that follow from them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli.output.document import Output
from opstore_daemon.protocol import errors

if TYPE_CHECKING:
    from opstore_cli.client.client import OpStoreClient
    from opstore_cli.config.settings import Settings
    from opstore_daemon.protocol.records import PickedYanked


@dataclass(slots=True)
class Session:
    """The global options of one run of the command line."""

    url: str | None = None
    out: Output = field(default_factory=Output)
    _warned: "set[PickedYanked]" = field(default_factory=set)

    def settings(self) -> "Settings":
        """Return the settings of this run; raise InvalidSetting."""
        from opstore_cli.config.settings import load_settings

        return load_settings(self.url, os.environ, _working_folder())

    def home(self) -> Path:
        """Return the data folder of the local daemon, also if a URL is set."""
        from opstore_cli.config.settings import home_folder

        return home_folder(os.environ, _working_folder())

    def client(self, settings: "Settings | None" = None) -> "OpStoreClient":
        """Return a client of the daemon of the settings. The local daemon is started if none runs."""
        from opstore_cli.client.client import OpStoreClient

        return OpStoreClient(
            settings=settings or self.settings(),
            progress=self.out.moved,
            warn=self._warn,
            notify=lambda line: self.out.note(line, always=True),
        )

    def _warn(self, picked: "PickedYanked") -> None:
        """Warn of a yanked version, once: a command may ask for it several times."""
        if picked not in self._warned:
            self._warned.add(picked)
            self.out.warn(str(picked))


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        raise errors.InvalidSetting(setting="the working folder", reason="it is gone, or can't be read") from None
