"""The files of a set of versions, which a command may read; a change of them is detected."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from opstore_cli import lockfile
from opstore_cli.files.read_only import make_read_only, remove_read_only
from opstore_cli.transfer.interruption import InterruptedTransfer
from opstore_cli.transfer.output_path import is_complete
from opstore_cli.transfer.progress import Display
from opstore_cli.transfer.pull_all import StartPull, pull_all, targets
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord

Edges = Sequence[tuple[str, str]]
State = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PulledSet:
    """A set of versions, one for each op, whose bytes are FOLDER/OP; `lock` is the file that pins the versions.

    `paths` has those that have bytes, by op.
    """

    versions: Sequence[VersionRecord]
    folder: Path
    lock: Path
    paths: dict[str, Path]
    _states: dict[str, dict[str, State]] = field(default_factory=dict)
    _links: frozenset[str] = frozenset()  # ops whose path was a link to the bytes before

    @classmethod
    def of(cls, versions: Sequence[VersionRecord], folder: Path, lock: Path) -> "PulledSet":
        """Return the set of versions that are in the folder, read-only from now on."""
        paths = {version.op: folder / version.op for version in versions if version.digest is not None}
        for path in paths.values():
            make_read_only(path)
        states = {op: dict(_states(path)) for op, path in paths.items()}
        return cls(versions, folder, lock, paths, states, frozenset(op for op in paths if os.path.islink(paths[op])))

    def changed(self) -> list[str]:
        """Return the ops whose files have other bytes than the store."""
        return [
            version.op
            for version in self.versions
            if version.op in self.paths and self._may_have_changed(version.op) and not self._is_whole(version)
        ]

    def release(self) -> None:
        """Let the user write to the folders again, so that they can be deleted. The files stay read-only."""
        for op, path in self.paths.items():
            if self._is_in_place(op):
                _let_write(path)

    def _is_in_place(self, op: str) -> bool:
        """Return whether the path of the op leads to what was pulled, and not to another folder of the user."""
        path = str(self.paths[op])
        before, now = self._states[op].get(path), _state(path)
        return before is not None and now is not None and before[:2] == now[:2]

    def _may_have_changed(self, op: str) -> bool:
        # The state of a link is not that of what it leads to.
        return op in self._links or dict(_states(self.paths[op])) != self._states[op]

    def _is_whole(self, version: VersionRecord) -> bool:
        path = self.paths[version.op]
        return os.path.islink(path) == (version.op in self._links) and is_complete(version, path)


@contextmanager
def temporary_folder(before_removal: Callable[[], object], warn: Callable[[str], object]) -> Iterator[Path]:
    """Yield a new folder, which is deleted with everything in it at the end; call `warn` if that fails."""
    with errors.translated(OSError, to=errors.OutputFailed, path=tempfile.gettempdir()):
        folder = Path(tempfile.mkdtemp(prefix="opstore-run-")).absolute()
    try:
        yield folder
    except InterruptedTransfer:
        raise KeyboardInterrupt from None  # nothing is left that could be resumed
    finally:
        before_removal()
        try:
            remove_read_only(folder)
        except OSError as error:
            warn(f"the temporary folder {folder} could not be deleted: {errors.reason(error)}")


def pull_set(
    start: StartPull,
    pipeline: str,
    edges: Edges,
    versions: Sequence[VersionRecord],
    folder: Path,
    lock: Path,
    display: Display,
    *,
    overwrite: bool,
) -> PulledSet:
    """Write the bytes of the versions to FOLDER/OP, and the lock, and return the set.

    Raises what a pull raises: nothing is replaced unless all bytes are verified.
    """
    stored = [version for version in versions if version.digest is not None]
    targets(stored, folder)
    pinned = lockfile.of_versions(pipeline, edges, versions)
    lockfile.check_target(lock)
    if not overwrite and _is_other(lock, pinned):
        raise errors.OutputExists(path=str(lock))
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
    if overwrite:
        for version in stored:
            _let_write(folder / version.op)  # or an earlier pull's folder could not be replaced
    pulled = pull_all(start, stored, folder, overwrite, display)
    failure = next((each for each in pulled.outcomes if isinstance(each, errors.OpStoreError)), None)
    if failure is not None:
        raise failure
    lockfile.write(lock, pinned)
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)):
        return PulledSet.of(versions, folder, lock)


def _is_other(path: Path, lock: lockfile.LockFile) -> bool:
    """Return whether another lock is at the path, which somebody may deploy."""
    try:
        return path.read_bytes() not in (b"", lockfile.to_text(lock).encode())
    except FileNotFoundError:
        return False


def _let_write(path: Path) -> None:
    """Give the user the permission to write to a folder, and to those in it. Failures pass."""
    if os.path.isdir(path) and not os.path.islink(path):
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IWUSR)


def _states(path: Path) -> Iterator[tuple[str, State]]:
    """Yield what a look at a file or a folder tells: it differs after a change of what is in it, whoever made it."""
    places = [str(path)]
    if os.path.isdir(path) and not os.path.islink(path):
        places += [os.path.join(folder, name) for folder, names, files in os.walk(path) for name in (*names, *files)]
    for place in places:
        state = _state(place)
        if state is not None:
            yield place, state


def _state(place: str) -> State | None:
    try:
        found = os.lstat(place)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns
