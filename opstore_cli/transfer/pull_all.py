"""Pull versions into a folder: nothing in it is replaced before the bytes of all of them are verified.

Each version is written beside its target, and all get their names at the end. A process that is killed leaves files
that are old or new, each whole, and parts that the next pull resumes from.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opstore_cli.files.leftovers import remove_leftovers
from opstore_cli.files.locks import lock_folder
from opstore_cli.files.part_file import may_resume
from opstore_cli.output.progress import NullDisplay
from opstore_cli.transfer.output_path import check_path_of, is_complete, leave_alone, suffix_of
from opstore_cli.transfer.parallel import ParallelTransfers
from opstore_cli.transfer.progress import Display
from opstore_cli.transfer.pull_record import PullRecord
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull

StartPull = Callable[..., "AbstractContextManager[Pull]"]  # a client's start_pull
Publish = Callable[[], None]


class Pulled(NamedTuple):
    """A version that is at a path; `written` is False if its bytes were there already."""

    version: VersionRecord
    path: Path
    written: bool


Outcome = Pulled | errors.OpStoreError | None


class PulledTogether(NamedTuple):
    """The outcome of each version, and what was removed, or was kept because it changed, of earlier pulls."""

    outcomes: list[Outcome]
    removed: list[Path]
    changed: list[Path]


def targets(versions: Sequence[VersionRecord], folder: Path, *, keep_suffix: bool = False) -> list[Path]:
    """Return the path of each version in the folder: its op, with the suffix of the file that was pushed if wanted.

    Raises FileRefused if two versions have the same path.
    """
    paths = [folder / (version.op + (suffix_of(version) if keep_suffix else "")) for version in versions]
    owners: dict[Path, str] = {}
    for version, path in zip(versions, paths, strict=True):
        if path in owners:
            raise errors.FileRefused(
                path=str(path), reason=f"both {owners[path]} and {version.op} would be written to it"
            )
        owners[path] = version.op
    return paths


def pull_all(
    start: StartPull,
    versions: Sequence[VersionRecord],
    folder: Path,
    overwrite: bool,
    display: Display,
    *,
    keep_suffix: bool = False,
    pipeline: str | None = None,
    prune: bool = False,
) -> PulledTogether:
    """Write each version as FOLDER/OP; an outcome is the version, or its error, or None if it was not pulled.

    What has the right digest already is left alone. If one fails, nothing in the folder was replaced, unless it failed
    when it got its name. `pipeline`: record what is written as that of this pipeline; `prune`: remove what earlier
    pulls of it left. Raises OutputFailed if the folder can't be opened, and FileRefused if two versions have the same
    path.
    """
    paths = targets(versions, folder, keep_suffix=keep_suffix)
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)), lock_folder(folder):
        checks = [partial(_is_complete, *each, overwrite) for each in zip(versions, paths, strict=True)]
        complete = ParallelTransfers(checks, NullDisplay()).run()
        if any(isinstance(each, errors.OpStoreError) for each in complete):
            return PulledTogether(
                [each if isinstance(each, errors.OpStoreError) else None for each in complete], [], []
            )
        missing = [index for index, is_there in enumerate(complete) if not is_there]
        outcomes: list[Outcome] = [Pulled(*each, written=False) for each in zip(versions, paths, strict=True)]
        record = PullRecord.read(folder)

        def before_publication() -> None:
            if pipeline is not None:
                there = [index for index, is_there in enumerate(complete) if is_there]
                record.add(pipeline, _digests(versions, paths, missing), _digests(versions, paths, there))

        wanted = [(versions[i], paths[i]) for i in missing]
        pulled = _pull_missing(start, wanted, overwrite, display, before_publication)
        for index, outcome in zip(missing, pulled, strict=True):
            outcomes[index] = outcome
        if not all(isinstance(each, Pulled) for each in outcomes):
            return PulledTogether(outcomes, [], [])
        remove_leftovers(folder, _digests(versions, paths, range(len(versions))))
        if pipeline is None or not prune:
            return PulledTogether(outcomes, [], [])
        return PulledTogether(outcomes, *record.prune(pipeline, [path.name for path in paths]))


def _digests(versions: Sequence[VersionRecord], paths: Sequence[Path], which: Sequence[int]) -> dict[str, Digest]:
    return {paths[i].name: Digest.parse(digest) for i in which if (digest := versions[i].digest) is not None}


def _is_complete(version: VersionRecord, path: Path, overwrite: bool) -> bool:
    """Return whether the path has the bytes of the version; raise OutputExists or FileRefused if it can't get them."""
    if is_complete(version, path):
        leave_alone(version, path)
        return True
    check_path_of(version, path, overwrite)
    return False


def _pull_missing(
    start: StartPull,
    wanted: Sequence[tuple[VersionRecord, Path]],
    overwrite: bool,
    display: Display,
    before_publication: Callable[[], None],
) -> list[Outcome]:
    transfers: ParallelTransfers[Publish]
    outcomes: list[Outcome] = [None] * len(wanted)
    try:
        with ExitStack() as staged:
            stacks = [staged.enter_context(ExitStack()) for _ in wanted]  # one for each thread

            def stage(index: int) -> Publish:
                version, path = wanted[index]
                pulling = start(
                    Reference.of(version.op, version.version),
                    client_verifies=True,
                    resume=may_resume(path.parent, path.name),
                    expected=version,
                    progress=transfers.moved,
                )
                with pulling as pull:
                    return stacks[index].enter_context(pull.staged(path, overwrite))

            transfers = ParallelTransfers([partial(stage, index) for index in range(len(wanted))], display)
            results = transfers.run()
            failures = [each for each in results if isinstance(each, errors.OpStoreError)]
            if failures:
                outcomes = [each if isinstance(each, errors.OpStoreError) else None for each in results]
                raise failures[0]  # each part then stays or goes as after a failure of its own
            before_publication()
            for index, publish in enumerate(results):
                try:
                    publish()  # type: ignore[operator,misc]
                except errors.OpStoreError as failure:
                    outcomes[index] = failure
                    raise
                outcomes[index] = Pulled(*wanted[index], written=True)
    except errors.OpStoreError as failure:
        if failure not in outcomes:
            raise
    return outcomes
