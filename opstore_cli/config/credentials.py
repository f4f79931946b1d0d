"""What `opstore login` keeps: a token for each URL, in a file of the user's own that nobody else can read."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from opstore_cli.config.settings import user_folder
from opstore_cli.config.tokens import MAX_FILE, check_token
from opstore_cli.files import private
from opstore_cli.files.locks import LockedFile
from opstore_daemon.protocol import errors

Tokens = dict[str, str]  # by URL, in the form that check_url gives it


class Credentials:
    """The tokens in one file. A URL is one that `check_url` gave."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or user_folder() / "credentials.json"

    def token(self, url: str) -> str | None:
        """The token for exactly this URL, or None; raises InvalidSetting."""
        return self.tokens().get(url)

    def tokens(self) -> Tokens:
        """All of them; raises InvalidSetting where the file is there and is not what `login` wrote."""
        try:
            found = json.loads(private.read(self.path, MAX_FILE))
            return {url: check_token(token, str(self.path)) for url, token in found["tokens"].items()}
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._refused(error) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise errors.InvalidSetting(setting=str(self.path), reason="it holds no tokens: delete it") from None

    def keep(self, url: str, token: str) -> None:
        """Keeps the token for the URL, in place of the one that is there; raises InvalidSetting."""
        self._change(lambda tokens: {**tokens, url: token})

    def forget(self, url: str) -> bool:
        """Whether there was a token for the URL; there is none now. Raises InvalidSetting."""
        if url not in self.tokens():
            return False
        self._change(lambda tokens: {kept: token for kept, token in tokens.items() if kept != url})
        return True

    def forget_all(self) -> list[str]:
        """The URLs that there were tokens for; the file is gone now, also where it could not be read."""
        with self._alone():
            try:
                urls = sorted(self.tokens())
            except errors.InvalidSetting:
                urls = []
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise self._refused(error) from None
        return urls

    def warning(self) -> str | None:
        """What should be said about the file, in one line, or None."""
        if private.readable_by_others(self.path):
            return f"others can read the tokens in {self.path}: chmod 600 {self.path}"
        return None

    def _change(self, change: Callable[[Tokens], Tokens]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone():
                tokens = change(self.tokens())
                text = json.dumps({"tokens": tokens}, indent=2, sort_keys=True) + "\n"
                private.write_atomically(self.path, text.encode())
        except OSError as error:
            raise self._refused(error) from None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While this lasts no other login changes the file. Where a system has no file locks, nothing sees to that."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):
                stack.enter_context(LockedFile.acquire(self.path.with_suffix(".lock")))
            yield

    def _refused(self, error: OSError) -> errors.InvalidSetting:
        return errors.InvalidSetting(setting=str(self.path), reason=errors.reason(error))
