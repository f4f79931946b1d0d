"""The verbs that return or write the bytes of versions."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, overload

from opstore_cli.client import advice
from opstore_cli.client.mixin import ApiMixin
from opstore_cli.client.progress import ProgressOption, show_progress
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.names import PipelineName
from opstore_daemon.protocol.records import Lock, VersionRecord
from opstore_daemon.protocol.references import Reference, selector_text

if TYPE_CHECKING:
    from opstore_cli.transfer.download import Pull


class PullsMixin(ApiMixin):
    """The verbs `pull`, `pull_lock` and `start_pull`."""

    @overload
    def pull(self, reference: str | Reference) -> bytes: ...
    @overload
    def pull(self, reference: str | Reference, to: Path | str | BinaryIO, overwrite: bool = False) -> VersionRecord: ...
    def pull(
        self, reference: str | Reference, to: Path | str | BinaryIO | None = None, overwrite: bool = False
    ) -> bytes | VersionRecord:
        """Return the verified bytes of a version; or write them to `to` and return the version's record.

        A pull to a path is atomic, and resumes an earlier one. A version whose format is `folder` is unpacked there.
        If the path has the bytes already, it is left alone.

        Args:
            reference: the version: `pca`, `pca@1.2.0`, `pca@best`, ...
            to: the path of the file or folder to write, not of a folder to write it into; or a binary file object,
                which gets the last bytes only after all are verified.
            overwrite: replace anything else at the path.

        Returns:
            bytes or VersionRecord: the bytes without `to`, else the version's record.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            OutputExists: something else is at the path.
            OutputFailed: the output can't be written, or `to.write` raised anything but BrokenPipeError.
            FileRefused: the path is a folder but the version is not, or the folder of the path does not exist.
            FolderRefused: the bytes are no folder that can be unpacked.
            IntegrityFailure: the bytes do not match their digest.

        Examples:
            >>> client.pull("pca@1.0.0")
            b'components'
            >>> client.pull("pca@1.0.0", "pca.bin")
            <VersionRecord pca@1.0.0, ...>
        """
        from opstore_cli.files.part_file import may_resume
        from opstore_cli.files.targets import ends_in_separator
        from opstore_cli.transfer.output_path import check_path

        if to is None:
            with self.start_pull(reference) as pull:
                return pull.to_bytes()
        if isinstance(to, Path | str):
            path = Path(to)
            check_path(path, overwrite)
            with self.start_pull(reference, client_verifies=True, resume=may_resume(path.parent, path.name)) as pull:
                if ends_in_separator(str(to)) and not pull.record.is_folder:
                    raise errors.FileRefused(path=str(to), reason="it names a folder, and the version is a file")
                pull.to_path(path, overwrite)
        else:
            with self.start_pull(reference) as pull:
                pull.to_stream(to)
        return pull.record

    def pull_lock(
        self,
        lock: Lock | Path | str,
        folder: Path | str,
        overwrite: bool = False,
        *,
        keep_suffix: bool = False,
        pipeline: str | None = None,
        prune: bool = False,
    ) -> list[VersionRecord]:
        """Write the bytes of all versions of a lock as FOLDER/OP.

        All bytes are verified before anything in the folder is replaced; what has the right digest is left alone.

        Args:
            lock: `client.resolve(...).lock()`, or the path of a lock file.
            folder: the path of a folder that exists.
            overwrite: replace what is there otherwise.
            keep_suffix: append the suffix of the file that was pushed.
            pipeline: the pipeline of the lock, by which a later pull recognizes what this one wrote. By default that
                of the lock file.
            prune: remove what an earlier pull of this pipeline wrote and this one does not. Files that changed since
                are kept.

        Returns:
            list of VersionRecord: the versions that have bytes.

        Raises:
            LockConflict: the store has other bytes for a version.
            VersionNotFound: the store does not have a version.
            OutputExists: something else is at a path.
            OutputFailed: the folder does not exist or can't be written.
            IntegrityFailure: bytes do not match their digest.
            FileRefused: the lock file is no lock, or two versions have the same path.
            InvalidRequest: `prune` needs `pipeline`.

        Examples:
            >>> client.pull_lock(client.resolve("iris").lock(), ".", overwrite=True)
            [<VersionRecord pca@..., ...>, <VersionRecord forest@..., ...>]
        """
        from opstore_cli.client import locks
        from opstore_cli.transfer.pull_all import pull_all

        lock, named = locks.load(lock)
        pipeline = named if pipeline is None else PipelineName.parse(pipeline)
        if prune and pipeline is None:
            raise errors.InvalidRequest(reason="prune=True needs pipeline=..., whose earlier pulls are looked for")
        pairs = zip(locks.records(lock, self.show), lock.versions, strict=True)
        versions = [version for version, locked in pairs if locked.digest is not None]
        parts = [(version.op, version.size) for version in versions]
        with show_progress(self._progress, f"pull {len(versions)} ops", parts) as display:
            pulled = pull_all(
                self.start_pull,
                versions,
                Path(folder),
                overwrite,
                display,
                keep_suffix=keep_suffix,
                pipeline=pipeline,
                prune=prune,
            )
        failure = next((each for each in pulled.outcomes if isinstance(each, errors.OpStoreError)), None)
        if failure is not None:
            raise failure
        return versions

    def start_pull(
        self,
        reference: str | Reference,
        *,
        client_verifies: bool = False,
        resume: bool = False,
        expected: VersionRecord | None = None,
        progress: ProgressOption = None,
    ) -> "AbstractContextManager[Pull]":
        """Start a pull whose record is known before its bytes are read.

        Args:
            reference: the version.
            client_verifies: only the client verifies the bytes; use it only for `Pull.to_path`.
            resume: a part of an earlier pull may exist.
            expected: the record of an earlier response; any other version is refused.
            progress: used instead of the client's: True, False, or a function of (bytes so far, total bytes).

        Returns:
            context manager of Pull: it has `record`, `to_bytes()`, `to_stream(output)` and `to_path(target,
            overwrite)`.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            UnexpectedResponse: the version is not the expected one.

        Examples:
            >>> with client.start_pull("pca@1.0.0") as pull:
            ...     print(pull.record.size, pull.to_bytes())
            10 b'components'
        """
        pull = self._start_pull(Reference.parse(reference), progress, client_verifies, resume, expected)
        return advice.with_notes(pull, "client.start_pull()")

    @contextmanager
    def _start_pull(
        self,
        reference: Reference,
        progress: ProgressOption,
        client_verifies: bool,
        resume: bool,
        expected: VersionRecord | None,
    ) -> "Iterator[Pull]":
        from opstore_cli.transfer import download

        with (
            self._show_progress(f"pull {reference}", progress) as moved,
            download.start_pull(
                self._api,
                reference.op,
                selector_text(reference.selector),
                moved,
                self._home,
                client_verifies=client_verifies,
                resume=resume,
                expected=expected,
            ) as pull,
        ):
            yield pull
