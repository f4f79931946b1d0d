"""`save` and `load`: the verbs of the client for Python objects."""

import functools
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, BinaryIO

from opstore_cli.objects import LibraryWarning
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.interface import OpStoreInterface
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Fields, Level, Otherwise, Pushed, VersionRecord
from opstore_daemon.protocol.references import Reference

if TYPE_CHECKING:
    from opstore_cli.objects.format import Format


class ObjectsMixin(OpStoreInterface):
    """Save and load Python objects. The formats are imported on first use."""

    _allow_pickle = False  # the user's own setting

    @abstractmethod
    def _verified(self, version: VersionRecord) -> AbstractContextManager[BinaryIO]:
        """Open the verified bytes of a version."""

    def save(
        self,
        op: str,
        obj: object,
        *,
        format: str | None = None,  # noqa: A002 - the record's word
        bump: Level | None = None,
        fields: Fields | None = None,
        subversions: str | None = None,
        otherwise: Otherwise = "refuse",
        new: bool = False,
        valid_for: Sequence[str | Reference] = (),
        valid_with: Sequence[str | Reference] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        tags: Sequence[str] = (),
        filename: str | None = None,
    ) -> Pushed:
        """Store a Python object as a version of the op, with its format and the versions of its libraries.

        Args:
            op: the name of the op, which is created if it does not exist.
            obj: the object.
            format: the name of a format (docs/objects.md). By default one that restores the object exactly and runs no
                code.
            bump: the level that changes: `major`, `minor` or `patch` (default). Not with `fields` or `subversions`.
            fields: what the op declares, by level.
            subversions: three hashes, `MAJOR.MINOR.PATCH`.
            otherwise: what to do if `subversions` or `fields` name a version with other bytes: `refuse`, or `patch`.
            new: create a version even if the bytes are unchanged.
            valid_for: references of downstream versions that the new version is valid for.
            valid_with: references of upstream versions that are valid for the new version.
            labels: values by key.
            message: a text for people.
            tags: tags to move to the version.
            filename: the file name to record, such as `pca.skops`: a pull to a folder uses its suffix.

        Returns:
            Pushed: the version, and whether it was created. The same bytes in another format are a new version.

        Raises:
            FormatNeeded: no format restores the object exactly without running code: pass one.
            UnknownFormat: there is no such format.
            ObjectRefused: the format can't store the object.
            LibraryMissing: the library of the format is not installed.
            FormatConflict: `fields` or `subversions` name a version that has the bytes in another format.
            OutputFailed: the temporary file can't be written.
            VersionConflict: the declared version has other bytes.
            SubversionsRemoved: the declared version was removed.

        Examples:
            >>> client.save("metrics", {"accuracy": 0.97})
            <Pushed metrics@1.0.0, ..., format json, created True>
        """
        from opstore_cli.objects import formats

        # Parsed before the object is written to a file, which may take long.
        name = OpName.parse(op)
        downstreams, upstreams = [list(map(Reference.parse, each)) for each in (valid_for, valid_with)]
        chosen = formats.default_format(obj) if format is None else formats.by_name(format)
        with formats.temporary_file() as file:
            libraries = formats.dump(chosen, obj, file)
            push = functools.partial(
                self.push,
                name,
                file,
                bump=bump,
                fields=fields,
                subversions=subversions,
                otherwise=otherwise,
                valid_for=downstreams,
                valid_with=upstreams,
                labels=labels,
                message=message,
                tags=tags,
                filename=filename,
                format=chosen.name,
                libraries=libraries,
            )
            pushed = push(new=new)
            if pushed.format != chosen.name and fields is None and subversions is None:
                # The latest version has the same bytes in another format, for example the text of a JSON document.
                file.seek(0)
                pushed = push(new=True)
        if pushed.format != chosen.name:
            there = pushed.format or "plain bytes"
            raise errors.FormatConflict(op=op, version=pushed.version, format=there)
        return pushed

    def load(
        self,
        reference: str | Reference,
        *,
        allow_pickle: bool | None = None,
        trusted: Sequence[str | type] | None = None,
        format: str | None = None,  # noqa: A002 - the record's word
    ) -> Any:
        """Return the object in a version, after all its bytes are verified.

        A second load transfers no bytes (see `path`). It warns with LibraryWarning if a library has another version
        than when the object was saved.

        Args:
            reference: the version.
            allow_pickle: whether code in the file may run. Loading a pickle, cloudpickle or joblib file can run
                arbitrary code, so load one only if you trust its source. None means the user's own setting, False by
                default.
            trusted: types, or their names, that skops may load in addition to those that it trusts by default.
            format: overrides the recorded format.

        Returns:
            object: what was saved.

        Raises:
            OpNotFound: the op does not exist.
            VersionNotFound: no version matches the reference.
            NotStored: the version has no bytes.
            FormatNeeded: the version was pushed without a format: pass one.
            UnknownFormat: there is no such format.
            LoadingRunsCode: the format runs code, and `allow_pickle` is not True.
            UntrustedTypes: the file has types that skops does not trust.
            LibraryMissing: the library of the format is not installed.
            NotLoaded: the bytes are not of that format.
            IntegrityFailure: the bytes do not match their digest.

        Examples:
            >>> client.save("metrics", {"accuracy": 0.97}).version
            '1.0.0'
            >>> client.load("metrics")
            {'accuracy': 0.97}
        """
        from opstore_cli.objects import environment
        from opstore_cli.output.user_warnings import warn_caller

        record = self.show(reference)

        def warn(chosen: "Format") -> None:
            if different := environment.compare(environment.installed(), chosen.name, record.libraries):
                warn_caller(LibraryWarning(f"{record.op}@{record.version}", different))

        return self._load_version(record, allow_pickle, trusted, format, warn)

    def _load_version(
        self,
        record: VersionRecord,
        allow_pickle: bool | None,
        trusted: Sequence[str | type] | None,
        format: str | None = None,  # noqa: A002 - the record's word
        before: "Callable[[Format], object] | None" = None,
    ) -> Any:
        """Return the object in a version, as `load` does; `before` is called before its verified bytes are parsed."""
        from opstore_cli.objects import formats

        if record.digest is None:
            raise errors.NotStored(op=record.op, version=record.version)
        chosen = formats.of_version(record) if format is None else formats.by_name(format)
        if chosen.runs_code and not (self._allow_pickle if allow_pickle is None else allow_pickle):
            raise errors.LoadingRunsCode(op=record.op, version=record.version, format=chosen.name)
        chosen.require()
        with self._verified(record) as file:
            if before is not None:
                before(chosen)
            return formats.load(chosen, record, file, trusted)
