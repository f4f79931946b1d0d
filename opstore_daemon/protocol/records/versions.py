"""Versions, and the requests that create or yank them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from opstore_daemon.protocol.checksums import Checksum
from opstore_daemon.protocol.digests import Digest
from opstore_daemon.protocol.folder_format import FOLDER_FORMAT
from opstore_daemon.protocol.limits import MAX_LABELS
from opstore_daemon.protocol.records.base import (
    AuthorText,
    Compat,
    Cursor,
    DigestText,
    Fields,
    Filename,
    Format,
    LabelKey,
    Labels,
    LabelValue,
    Level,
    Libraries,
    Message,
    NameText,
    Note,
    NumberText,
    Otherwise,
    Position,
    Reason,
    Record,
    References,
    Request,
    Sentence,
    Sequence,
    Size,
    SubversionsText,
    Time,
    UploadId,
    VerdictWord,
    WithVerdict,
)
from opstore_daemon.protocol.records.links import LinkRecord
from opstore_daemon.protocol.records.picked import Picked
from opstore_daemon.protocol.records.presentation import Rows
from opstore_daemon.protocol.records.short_text import counted
from opstore_daemon.protocol.reference_text import format_reference
from opstore_daemon.protocol.references import TagName
from opstore_daemon.protocol.versions import Version


class VersionRecord(Record, frozen=True, kw_only=True):
    """One version of an op. `digest` and `size` are None if it has no bytes.

    A push may declare the `format` of the bytes (`folder`, `joblib`; None: plain bytes) and the `libraries` that made
    them, with their versions by name. The store interprets neither. `filename` is the base name of the file that was
    pushed, None if there was none, as for a folder; `executable` is whether its owner may execute it. `yank_reason` is
    None unless it is `yanked`. `author` is whom the client named that stored the bytes or, without bytes, registered
    the version; None if it named nobody. Its text is `pca@1.0.0`.

    `damaged` says what `fsck --repair` found wrong with its bytes, which nobody can pull until they are pushed again.
    If nothing was found, the key is absent, and the attribute is false.
    """

    op: NameText
    version: NumberText
    subversions: SubversionsText
    sequence: Sequence
    digest: DigestText | None
    size: Size | None
    filename: Filename | None = None
    executable: bool = False
    registered_at: Time
    author: AuthorText | None = None
    labels: dict[LabelKey, LabelValue]
    tags: tuple[NameText, ...] = ()
    yanked: bool = False
    yank_reason: Reason | None = None
    message: Message | None = None
    note: Note | None = None
    format: Format | None = None
    libraries: Libraries = msgspec.field(default_factory=dict)
    position: Position
    damaged: Sentence | msgspec.UnsetType = msgspec.UNSET

    NOT_IN_TABLES = frozenset({"sequence", "position"})

    def __str__(self) -> str:
        return format_reference(self.op, self.version)

    @property
    def is_folder(self) -> bool:
        """Whether its bytes are a folder."""
        return self.format == FOLDER_FORMAT


class Pushed(VersionRecord, frozen=True, kw_only=True):
    """A version, and whether this push created it or stored its bytes.

    `links` are the links in force that were asked for, in that order; one that says that the pair is known to be
    invalid was kept. `compatible_with` is a compatible version with a valid link (None: there is none, or the push
    created nothing): what is linked to it counts for the new version, too.
    """

    created: bool
    links: tuple[LinkRecord, ...] = ()
    compatible_with: NumberText | None = None
    picked_yanked: Picked = ()


class SkippedVersion(Record, frozen=True, kw_only=True):
    """A newer version that was not selected, and why; the version is `-` for an op without any."""

    op: NameText
    version: Annotated[str, Meta(max_length=32, pattern=r"^(?:-|[0-9]{1,10}(?:\.[0-9]{1,10}){2})(?![\s\S])")]
    reason: Sentence


class Versions(WithVerdict, Rows, Record, frozen=True, kw_only=True):
    """Versions of an op, newest first; with `valid_for`, those that are valid for all of them.

    `skipped` names the newer versions that are not. If none is left, `verdict` says whether that is known (`invalid`)
    or links are missing (`unknown`). It is a sequence of the `VersionRecord`s, so it is true if there is any.
    """

    ROWS = "versions"

    op: NameText
    versions: tuple[VersionRecord, ...]
    skipped: tuple[SkippedVersion, ...] = ()
    verdict: VerdictWord = "valid"
    picked_yanked: Picked = ()
    next_cursor: Cursor | None = None

    @property
    def rows(self) -> tuple[VersionRecord, ...]:
        """The rows of the page."""
        return self.versions

    def _summary(self) -> str:
        """Return how many there are, and the verdict only if it says why there is none: without `valid_for` nothing
        was asked.
        """
        facts = [self.op] if self.verdict == "valid" else [self.op, self.verdict]
        facts.append(counted(len(self.versions), "versions"))
        return ", ".join([*facts, f"{len(self.skipped)} skipped"] if self.skipped else facts)


class NewVersion(Request, frozen=True, kw_only=True):
    """A push of an `upload`, else of the bytes that the store has with that `digest`, else a registration.

    `bump`, `fields` and `subversions` are mutually exclusive. `checksum` is that of the bytes that are sent.

    `otherwise` says what happens if declared subversions are stored with other bytes: `refuse`, or make a new `patch`
    version, with their valid links.

    A new op gets the compatibility level `new_ops` (None: `exact`). If it is set, ops of `valid_for` that do not exist
    are created, too.
    """

    upload: UploadId | None = None
    digest: Digest | None = None
    size: Size | None = None
    checksum: Checksum | None = None
    bump: Level | None = None
    fields: Fields | None = None
    subversions: Version | None = None
    otherwise: Otherwise = "refuse"
    new: bool = False
    valid_for: References = ()
    valid_with: References = ()
    labels: Labels = msgspec.field(default_factory=dict)
    message: Message | None = None
    tags: Annotated[tuple[TagName, ...], Meta(max_length=100)] = ()
    filename: Filename | None = None
    executable: bool = False
    format: Format | None = None
    libraries: Libraries = msgspec.field(default_factory=dict)
    new_ops: Compat | None = None


class NewYank(Request, frozen=True, kw_only=True):
    """The reason to yank a version; None to undo the yank."""

    reason: Reason | None


class ChangeVersion(Request, frozen=True, kw_only=True):
    """A new message or other labels of a version; everything else stays.

    `message`: null keeps the present one, an empty one removes it. `labels` are set, those of `unlabel` are removed.
    """

    message: Message | None = None
    labels: Labels = msgspec.field(default_factory=dict)
    unlabel: Annotated[tuple[LabelKey, ...], Meta(max_length=MAX_LABELS)] = ()
