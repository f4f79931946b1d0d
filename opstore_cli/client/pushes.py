"""The verbs that make a version: of bytes, a file or a folder, or without bytes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from opstore_cli.client import warnings
from opstore_cli.client.mixin import ApiMixin, parse_references
from opstore_daemon.protocol import routes
from opstore_daemon.protocol.names import OpName
from opstore_daemon.protocol.records import Compat, Fields, Level, NewVersion, Otherwise, Pushed
from opstore_daemon.protocol.references import Reference, TagName
from opstore_daemon.protocol.versions import Version

if TYPE_CHECKING:
    from opstore_cli.transfer.source import Source

WarnNotRecorded = Callable[[Pushed, Mapping[str, object], list[str]], object]


class PushesMixin(ApiMixin):
    """The verbs `push` and `register`.

    `warn_not_recorded` is called if a push recorded only a part of its arguments.
    """

    warn_not_recorded: WarnNotRecorded

    def push(
        self,
        op: str,
        source: "bytes | BinaryIO | Path | str | Source",
        *,
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
        executable: bool = False,
        format: str | None = None,  # noqa: A002 - the record's word
        libraries: Mapping[str, str] | None = None,
        new_ops: Compat | None = None,
        follow_links: bool = False,
        exclude: Sequence[str] = (),
    ) -> Pushed:
        """Store bytes, a file or a folder as a version of the op, with its links and tags, in one transaction.

        If the latest version has the same bytes, nothing is created, and the record's `created` is False. Tags, labels
        and links are recorded on that version; a NotRecordedWarning says if the message or the libraries are not.

        Args:
            op: the name of the op, which is created if it does not exist.
            source: bytes, the path of a file or folder (whose format is then `folder`), or a binary file object, which
                is read from its current position. A path with 8 MiB or more resumes the upload of an earlier process.
            bump: the level that changes: `major`, `minor` or `patch` (default). Not with `fields` or `subversions`.
            fields: what the op declares, by level: `{"major": {"whiten": "true"}}`.
            subversions: three hashes, `MAJOR.MINOR.PATCH`.
            otherwise: what to do if `subversions` or `fields` name a version with other bytes: `refuse`, or `patch`,
                which stores them as a new patch version with copies of the valid links.
            new: create a version even if the bytes are unchanged, or are those of a yanked version.
            valid_for: references of downstream versions that the new version is valid for.
            valid_with: references of upstream versions that are valid for the new version.
            labels: values by key.
            message: a text for people.
            tags: tags to move to the version.
            filename: the file name to record (default: that of the file at the path).
            executable: whether a pull makes the file executable (default: whether the file at the path is).
            format: what the bytes are, as `load` understands it. The store does not interpret it.
            libraries: versions of the libraries that made the bytes, by name.
            new_ops: the compatibility level of a new op (None: `exact`). If it is set, ops of `valid_for` that do not
                exist are created, too.
            follow_links: store what the links in a folder lead to, also outside of it, in place of the links.
            exclude: gitignore patterns of entries of a folder to skip, in addition to those in its `.opstoreignore`.
                `.git` is skipped too, unless `!.git` is among them.

        Returns:
            Pushed: the version, and whether this push created it.

        Raises:
            FileRefused: the source can't be read, changes while it is read, or is a folder that can't be stored.
            VersionConflict: the declared version has other bytes.
            SubversionsRemoved: a version with the declared subversions was removed.
            BytesYanked: the bytes are those of a yanked version.
            OpNotFound: an op of `valid_for` or `valid_with` does not exist.
            VersionNotFound: one of their versions does not exist.
            NoVersionYet: an op of `valid_for` has no version, and its name does not end in `@any`.
            StorageFull: the daemon's disk is full.

        Examples:
            >>> client.push("pca", b"the bytes", labels={"run": "17"}, tags="best")
            <Pushed pca@..., tags best, created True>
        """
        from opstore_cli.transfer import upload

        name = OpName.parse(op)
        declared = NewVersion(
            bump=bump,
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            otherwise=otherwise,
            new=new,
            valid_for=parse_references(valid_for),
            valid_with=parse_references(valid_with),
            labels=dict(labels or {}),
            message=message,
            tags=tuple(map(TagName.parse, tags)),
            filename=filename,
            executable=executable,
            format=format,
            libraries=dict(libraries or {}),
            new_ops=new_ops,
        )
        with self._show_progress(f"push {name}") as moved:
            pushed = upload.push(
                self._api, name, source, declared, self._home, moved, follow_links=follow_links, exclude=exclude
            )
        return self._warned(pushed, declared)

    def register(
        self,
        op: str,
        *,
        fields: Fields | None = None,
        subversions: str | None = None,
        valid_for: Sequence[str | Reference] = (),
        valid_with: Sequence[str | Reference] = (),
        labels: Mapping[str, str] | None = None,
        message: str | None = None,
        new_ops: Compat | None = None,
    ) -> Pushed:
        """Register a version without bytes, for an op whose code is its state.

        Args:
            op: the name of the op, which is created if it does not exist.
            fields: what the op declares, by level. Exactly one of `fields` and `subversions` is required.
            subversions: three hashes, `MAJOR.MINOR.PATCH`.
            valid_for: references of downstream versions that the new version is valid for.
            valid_with: references of upstream versions that are valid for the new version.
            labels: values by key.
            message: a text for people.
            new_ops: the compatibility level of a new op, as for `push`.

        Returns:
            Pushed: the version, and whether it was created.

        Raises:
            InvalidRequest: neither or both of `fields` and `subversions` are passed.
            SubversionsRemoved: a version with these subversions was removed.
            OpNotFound: an op of `valid_for` or `valid_with` does not exist.
            VersionNotFound: one of their versions does not exist.
            NoVersionYet: an op of `valid_for` has no version, and its name does not end in `@any`.

        Examples:
            >>> client.register("cleaner", fields={"major": {"stop_words": "en"}}).version
            '1.0.0'
        """
        name = OpName.parse(op)
        declared = NewVersion(
            fields=fields,
            subversions=None if subversions is None else Version.parse(subversions),
            valid_for=parse_references(valid_for),
            valid_with=parse_references(valid_with),
            labels=dict(labels or {}),
            message=message,
            new_ops=new_ops,
        )
        pushed = self._api.request("POST", routes.path(routes.VERSIONS, op=name), Pushed, body=declared)
        return self._warned(self._api.check_pushed(pushed, name, declared), declared)

    def _warned(self, pushed: Pushed, declared: NewVersion) -> Pushed:
        """Return the record; warn first if something of the declaration was not recorded."""
        # The libraries describe bytes of their format; `save` itself sees to another format.
        libraries = declared.libraries if declared.format == pushed.format else None
        missing = warnings.not_recorded(pushed, message=declared.message, libraries=libraries)
        if missing:
            recorded = {name: getattr(declared, name) for name in ("tags", "labels", "valid_for", "valid_with")}
            self.warn_not_recorded(pushed, recorded, missing)
        return pushed
