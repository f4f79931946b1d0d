"""The tokens that `opstore login` stores, by URL, in a file that only the user can read."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from opstore_cli.config.settings import user_folder
from opstore_cli.config.tokens import MAX_FILE, check_token
from opstore_cli.files import private
from opstore_cli.files.locks import LockedFile
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.home_trust import check_home

Tokens = dict[str, str]  # by URL, as check_url returns it


class Credentials:
    """The tokens in one file, by normalized URL (`check_url`). Every method raises InvalidSetting.

    Those that write raise OutputFailed if the disk is full or fails.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_folder() / "credentials.json"

    def token(self, url: str) -> str | None:
        """Return the token for exactly this URL, or None."""
        return self.tokens().get(url)

    def tokens(self) -> Tokens:
        """Return all tokens by URL. Raises InvalidSetting for a file that `login` did not write."""
        try:
            found = json.loads(private.read(self.path, MAX_FILE))
            return {url: check_token(token, str(self.path)) for url, token in found["tokens"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise errors.InvalidSetting(setting=str(self.path), reason=errors.reason(error)) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise errors.InvalidSetting(
                setting=str(self.path), reason="it does not contain tokens as opstore login writes them"
            ) from None

    def store(self, url: str, token: str) -> None:
        """Store the token for the URL, replacing any other one. Raises UntrustedHome."""
        self._change(lambda tokens: {**tokens, url: token})

    def delete(self, url: str) -> bool:
        """Delete the token for the URL, and return whether there was one."""
        if url not in self.tokens():
            return False
        self._change(lambda tokens: {each: token for each, token in tokens.items() if each != url})
        return True

    def delete_all(self) -> list[str]:
        """Delete the file, even if it can't be read, and return the URLs that had tokens."""
        check_home(self.path.parent, setting="XDG_CONFIG_HOME")
        with self._locked():
            try:
                urls = sorted(self.tokens())
            except errors.InvalidSetting:
                urls = []
            with self._translated_errors():
                self.path.unlink(missing_ok=True)
        return urls

    def warning(self) -> str | None:
        """Return a warning, in one line, if others can read the file."""
        if private.readable_by_others(self.path):
            return f"others can read the tokens in {self.path}: chmod 600 {self.path}"
        return None

    def _change(self, change: Callable[[Tokens], Tokens]) -> None:
        # What root writes in the folder of a user, as under sudo, that user can't read.
        check_home(self.path.parent, setting="XDG_CONFIG_HOME")
        with self._translated_errors():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._locked():
                tokens = change(self.tokens())
                text = json.dumps({"tokens": tokens}, indent=2, sort_keys=True) + "\n"
                private.write_atomically(self.path, text.encode())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from changing the file, if the file system has locks."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                stack.enter_context(LockedFile.acquire(self.path.with_suffix(".lock")))
            yield

    def _translated_errors(self) -> contextlib.AbstractContextManager[None]:
        path = str(self.path)
        return errors.translated_writes(path, to=errors.InvalidSetting, setting=path)
