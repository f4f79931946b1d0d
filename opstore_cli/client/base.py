"""BaseOpStoreClient: the verbs of the store, over any transport."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opstore_cli.client import advice, arguments, mistakes, warnings
from opstore_cli.client.administration import AdministrationMixin
from opstore_cli.client.bisection import BisectionMixin
from opstore_cli.client.cached_copies import CachedCopiesMixin
from opstore_cli.client.catalog import CatalogMixin
from opstore_cli.client.chariots import ChariotsMixin
from opstore_cli.client.comparison import ComparisonMixin
from opstore_cli.client.fsck import FsckMixin
from opstore_cli.client.links import LinksMixin
from opstore_cli.client.progress import ProgressOption
from opstore_cli.client.pulls import PullsMixin
from opstore_cli.client.pushes import PushesMixin, WarnNotRecorded
from opstore_cli.client.removals import RemovalsMixin
from opstore_cli.client.runs import RunsMixin
from opstore_cli.client.validity import ValidityMixin
from opstore_cli.client.verbs import verbs
from opstore_cli.client.verification import VerificationMixin
from opstore_cli.client.versions import VersionsMixin
from opstore_cli.config.author import check_author, default_author
from opstore_cli.objects.mixin import ObjectsMixin
from opstore_cli.transport.api import ApiClient
from opstore_cli.transport.interface import Body, Response
from opstore_daemon.protocol.records import PickedYanked

Warn = Callable[[PickedYanked], object]


@verbs(unchecked=(ChariotsMixin,))
class BaseOpStoreClient(
    BisectionMixin,
    VerificationMixin,
    PushesMixin,
    PullsMixin,
    CachedCopiesMixin,
    VersionsMixin,
    RemovalsMixin,
    CatalogMixin,
    ComparisonMixin,
    LinksMixin,
    ValidityMixin,
    RunsMixin,
    FsckMixin,
    AdministrationMixin,
    ChariotsMixin,
    ObjectsMixin,
    ABC,
):
    """All verbs of the store, for a subclass that implements `request`, for example with an in-process test server.

    `progress`: whether transfers that take longer than half a second show their progress, or a function, which is
    called with (bytes so far, total bytes or None). None, the default, shows it to a person: in a notebook, and at the
    prompt of a Python on a terminal. True shows it anywhere, on stderr. `warn` is called with each yanked version that
    a reference selected; by default it issues a `YankedWarning`. Both may be set at any time. `author` is whom the
    journal names for the changes, such as `Ana <ana@example.org>`; by default the user's name and the host's.

    Names and references are strings or parsed (`OpName`, `Reference`), a string where a sequence of strings is expected
    is one string, and a time may be a `datetime`. Every verb raises `OpStoreError`s: InvalidArgument, which is a
    TypeError as well, for an argument of a wrong type, InvalidName, InvalidReference or InvalidVersion for an invalid
    string, the errors that the daemon responds with, those of the family `Unreachable`, and UnexpectedResponse.
    """

    def __init__(self, *, progress: ProgressOption = None, warn: Warn | None = None, author: str | None = None) -> None:
        with advice.notes(f"{type(self).__name__}()"):
            self.progress = progress
            self._author = None if author is None else check_author(arguments.text("author", author), "author")
        self.warn: Warn = warn or warnings.warn
        self.warn_not_recorded: WarnNotRecorded = warnings.warn_not_recorded
        self._api = ApiClient(self)
        self._home: Path | None = None  # the folder for state files, from which a later process resumes

    if not TYPE_CHECKING:  # for a type checker, every name would be an attribute

        def __getattr__(self, name: str) -> None:
            raise mistakes.no_method(type(self), name)

    def __dir__(self) -> list[str]:
        """Return the names that completion offers: without the verbs that only a chariots application calls."""
        return [name for name in super().__dir__() if name.startswith("_") or name not in vars(ChariotsMixin)]

    @property
    def progress(self) -> ProgressOption:
        """Return whether transfers show their progress, or the function that is called with it."""
        return self._progress

    @progress.setter
    def progress(self, progress: ProgressOption) -> None:
        self._progress: ProgressOption = arguments.progress("progress", progress)

    @abstractmethod
    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        parameters: Mapping[str, Any],
        body: bytes | Body | None,
    ) -> Response:
        """Send one request to the daemon, with the token added to its headers, and return the response.

        `path` is relative to the daemon's address. `parameters` is the query: a list becomes a repeated parameter,
        and None is omitted. `body` is bytes or a stream of known length. A GET, and a request with an
        `Idempotency-Key`, may be sent again; send any other request once. The response, whatever its status, has
        `status`, `headers`, `read(size)` and `close()`, as `http.client.HTTPResponse` has. Raises the errors of the
        family `Unreachable` if there is no response.
        """

    @property
    def address(self) -> str:
        """The daemon's name in error messages."""
        return type(self).__name__

    @property
    def identity(self) -> str:
        """The identity of the daemon, which is the same after a restart."""
        return self.address

    @property
    def author(self) -> str | None:
        """Return whom the journal names for the changes of this client; None if neither user nor host has a name."""
        return self._author or default_author()
