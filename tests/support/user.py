"""A user for the tests of `opstore doctor`: an environment, folders and settings."""

from pathlib import Path

from opstore_cli.config.settings import load_settings
from opstore_cli.doctor import Finding, examine
from opstore_cli.doctor.machine import Machine
from opstore_daemon.protocol import errors
from tests.support.homes import write_runtime_file

TOKEN = "a-token-of-some-length"


class User:
    """A user with an environment, folders and settings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.cwd = folder / "data", folder / "work"
        self.environ: dict[str, str] = {}
        self.url: str | None = None
        (self.cwd / ".git").mkdir(parents=True)

    def machine(self) -> Machine:
        environ = {"OPSTORE_HOME": str(self.home), **self.environ}
        try:
            settings = load_settings(self.url, environ, self.cwd)
        except errors.InvalidSetting as refusal:
            return Machine(self.home, self.cwd, refusal=refusal)
        return Machine(self.home, self.cwd, settings)

    def findings(self) -> dict[str, Finding]:
        """Return the findings of the checks; fail if the checks create or delete a file."""
        before = self.everything()
        found = {each.check: each for each in examine(self.machine())}
        assert self.everything() == before
        return found

    def wrong(self) -> dict[str, tuple[str, str | None]]:
        """Return the problems: what was found, and the advice."""
        return {
            name: (each.found.replace(str(self.folder), "/"), (each.advice or "").replace(str(self.folder), "/"))
            for name, each in self.findings().items()
            if not each.ok
        }

    def everything(self) -> list[tuple[str, int]]:
        found = [(str(path), path.lstat().st_mode) for path in self.folder.rglob("*")]
        # SQLite creates and deletes these by itself.
        return sorted(each for each in found if not each[0].endswith(("-wal", "-shm")))

    def make_home(self, token: str = TOKEN) -> None:
        self.home.mkdir(mode=0o700)
        (self.home / "token").write_text(token)
        (self.home / "token").chmod(0o600)

    def runs(self, url: str, version: str = "0.1.0") -> None:
        """Write a runtime file of a daemon at that URL."""
        write_runtime_file(self.home, url, version=version)
