"""Pull versions into a folder: nothing in it is replaced before the bytes of all of them are verified.

Each version is written beside its target, and all get their names at the end. A process that is killed leaves files
that are old or new, each whole, and parts that the next pull resumes from.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opstore_cli.files.leftovers import remove_leftovers
from opstore_cli.files.locks import lock_folder
from opstore_cli.files.part_file import may_resume
from opstore_cli.output.progress import NullDisplay
from opstore_cli.transfer import source
from opstore_cli.transfer.output_path import check_path_of
from opstore_cli.transfer.parallel import ParallelTransfers
from opstore_cli.transfer.progress import Display
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull

StartPull = Callable[..., "AbstractContextManager[Pull]"]  # a client's start_pull
Outcome = VersionRecord | errors.OpStoreError | None
Publish = Callable[[], None]


def pull_all(
    start: StartPull, versions: Sequence[VersionRecord], folder: Path, overwrite: bool, display: Display
) -> list[Outcome]:
    """Write each version as FOLDER/OP; return the version, or its error, or None for one that was not pulled.

    What has the right digest already is left alone. If one fails, nothing in the folder was replaced, unless it failed
    when it got its name. Raises OutputFailed if the folder can't be opened.
    """
    with errors.translated(OSError, to=errors.OutputFailed, path=str(folder)), lock_folder(folder):
        paths = [folder / version.op for version in versions]
        checks = [partial(_is_complete, *each, overwrite) for each in zip(versions, paths, strict=True)]
        complete = ParallelTransfers(checks, NullDisplay()).run()
        if any(isinstance(each, errors.OpStoreError) for each in complete):
            return [each if isinstance(each, errors.OpStoreError) else None for each in complete]
        missing = [index for index, is_complete in enumerate(complete) if not is_complete]
        outcomes: list[Outcome] = list(versions)
        for index, outcome in zip(
            missing, _pull_missing(start, [(versions[i], paths[i]) for i in missing], overwrite, display), strict=True
        ):
            outcomes[index] = outcome
        if outcomes == list(versions):
            remove_leftovers(folder, {each.op: Digest.parse(each.digest) for each in versions if each.digest})
        return outcomes


def _is_complete(version: VersionRecord, path: Path, overwrite: bool) -> bool:
    """Return whether the path has the bytes of the version; raise OutputExists or FileRefused if it can't get them."""
    # Nothing else is opened to compare it: opening a named pipe would wait for a writer.
    if (os.path.isfile(path) or os.path.isdir(path)) and source.digest_of_path(path) == version.digest:
        return True
    check_path_of(version, path, overwrite)
    return False


def _pull_missing(
    start: StartPull, wanted: Sequence[tuple[VersionRecord, Path]], overwrite: bool, display: Display
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
            for index, publish in enumerate(results):
                try:
                    publish()  # type: ignore[operator,misc]
                except errors.OpStoreError as failure:
                    outcomes[index] = failure
                    raise
                outcomes[index] = wanted[index][0]
    except errors.OpStoreError as failure:
        if failure not in outcomes:
            raise
    return outcomes
