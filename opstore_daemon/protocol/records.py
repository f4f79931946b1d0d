"""The records on the wire: each is the type, its strict decoder and its JSON schema.

Sizes are bytes, times are UTC (RFC 3339 on the wire). Keys that CONTRACT section 5 promises keep its names.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from opstore_daemon.protocol import errors, names

Level = Literal["major", "minor", "patch"]
Compat = Literal["major", "minor", "exact"]
VerdictWord = Literal["valid", "invalid", "unknown"]
LinkState = Literal["valid", "invalid", "revoked"]
Otherwise = Literal["refuse", "patch"]

LEVELS: tuple[Level, ...] = ("major", "minor", "patch")
MAX_DEPTH = 16

# What users write: kept as it is, never interpreted; a NUL is refused, since not every database takes it.
_NO_NUL = r"^[^\x00]*$"
Message = Annotated[str, Meta(max_length=65536, pattern=_NO_NUL)]
Evidence = Annotated[str, Meta(max_length=4096, pattern=_NO_NUL)]
# A bare `$` would let a line feed at the end pass.
LabelKey = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f=]*(?![\s\S])")]
LabelValue = Annotated[str, Meta(max_length=1024, pattern=_NO_NUL)]
Labels = Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)]
Format = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9.+-]*(?![\s\S])")]
Libraries = Annotated[dict[LabelKey, LabelValue], Meta(max_length=64)]
FieldKey = Annotated[str, Meta(min_length=1, max_length=1024)]
FieldValue = Annotated[str, Meta(max_length=65536)]
# msgspec leaves the keys out of the schema.
Fields = Annotated[
    dict[Level, dict[FieldKey, FieldValue]], Meta(extra_json_schema={"propertyNames": {"enum": list(LEVELS)}})
]
# Names, digests and references are checked further on, where an error says more: only the schema has their form.
Text = Annotated[str, Meta(max_length=512)]
Name = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": names.PATTERN})]
Reference = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": names.REFERENCE_PATTERN})]
UploadId = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": "^[0-9a-f]{32}$"})]
DigestText = Annotated[str, Meta(max_length=512, extra_json_schema={"pattern": "^sha256:[0-9a-f]{64}$"})]
References = Annotated[tuple[Reference, ...], Meta(max_length=1000)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Time = Annotated[datetime, Meta(tz=True)]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What the daemon says. A client ignores keys of a newer daemon."""


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the daemon is asked. Unknown keys are refused."""


# --- versions ---------------------------------------------------------------------------------------------------


class PickedYanked(Record, frozen=True, kw_only=True):
    """A yanked version that a reference picked, and why it was yanked: what is to be warned of."""

    op: str
    number: str
    reason: str

    def __str__(self) -> str:
        return f"{self.op}@{self.number} is yanked: {self.reason}"


class VersionRecord(Record, frozen=True, kw_only=True):
    """One version of an op. `digest` and `size` are None where it is registered only.

    `format` is what the bytes are to whoever pushed them (`folder`, `joblib`; None: just bytes), `libraries` the
    versions of what made them, by name. The store reads neither. `yank_reason` is None unless it is `yanked`.
    """

    op: str
    number: str
    version: str
    sequence: int
    digest: str | None
    size: int | None
    registered_at: Time
    labels: dict[str, str]
    tags: tuple[str, ...] = ()
    yanked: bool = False
    yank_reason: str | None = None
    message: str | None = None
    note: str | None = None
    format: str | None = None
    libraries: dict[str, str] = {}
    position: int


class Pushed(VersionRecord, frozen=True, kw_only=True):
    """A version, and whether this push made it (or gave it its bytes)."""

    created: bool
    picked_yanked: tuple[PickedYanked, ...] = ()


class PassedOver(Record, frozen=True, kw_only=True):
    """A newer version that was not picked, and why."""

    op: str
    number: str
    reason: str


class Versions(Record, frozen=True, kw_only=True):
    """Versions of an op, newest first; with `valid_for`, those that are valid for all of them.

    `passed_over` names the versions newer than the first of them that are not. `verdict` says, where nothing is
    left, whether that is known (`invalid`) or links are missing (`unknown`).
    """

    op: str
    versions: tuple[VersionRecord, ...]
    passed_over: tuple[PassedOver, ...] = ()
    verdict: VerdictWord = "valid"
    picked_yanked: tuple[PickedYanked, ...] = ()
    next_cursor: str | None = None


class NewVersion(Request, frozen=True, kw_only=True):
    """A push (with `upload`) or a registration (without). `bump`, `fields` and `version` exclude each other.

    `otherwise` says what a push of declared subversions does where they are stored with other bytes: `refuse`, or
    make a new `patch` version of them, with their valid links.
    """

    upload: UploadId | None = None
    digest: DigestText | None = None
    size: Size | None = None
    bump: Level | None = None
    fields: Fields | None = None
    version: Text | None = None
    otherwise: Otherwise = "refuse"
    new: bool = False
    valid_for: References = ()
    valid_with: References = ()
    labels: Labels = {}
    message: Message | None = None
    tags: Annotated[tuple[Name, ...], Meta(max_length=100)] = ()
    format: Format | None = None
    libraries: Libraries = {}


class NewYank(Request, frozen=True, kw_only=True):
    """A version is yanked for a reason, or (None) no longer so."""

    reason: Annotated[str, Meta(min_length=1, max_length=4096, pattern=_NO_NUL)] | None


# --- tags -------------------------------------------------------------------------------------------------------


class TagRecord(Record, frozen=True, kw_only=True):
    """Where a tag was put at a position. `number` is None where it was taken away."""

    op: str
    tag: str
    number: str | None
    position: int
    registered_at: Time


class Tags(Record, frozen=True, kw_only=True):
    """A page of tags, or of their moves, newest first."""

    tags: tuple[TagRecord, ...]
    next_cursor: str | None = None


class Tagged(Record, frozen=True, kw_only=True):
    """The tag on each of the versions that it was put on."""

    tags: tuple[TagRecord, ...]
    picked_yanked: tuple[PickedYanked, ...] = ()


class NewTag(Request, frozen=True, kw_only=True):
    """A tag, and the versions (of an op each) that it is to stand on: all of them, or none."""

    tag: Name
    versions: Annotated[tuple[Reference, ...], Meta(min_length=1, max_length=1000)]


# --- uploads ----------------------------------------------------------------------------------------------------


class NewUpload(Request, frozen=True, kw_only=True):
    """Bytes that are to come; `size` where it is known."""

    size: Size | None = None


class Upload(Record, frozen=True, kw_only=True):
    """How far an upload is: `offset` bytes are kept, of `size` where that was declared."""

    upload: str
    offset: int
    size: int | None


# --- ops --------------------------------------------------------------------------------------------------------


class OpRecord(Record, frozen=True, kw_only=True):
    """An op, the number of its latest version and how many versions it has."""

    name: str
    latest: str | None
    versions: int
    compat: Compat


class Ops(Record, frozen=True, kw_only=True):
    """A page of ops, by name."""

    ops: tuple[OpRecord, ...]
    next_cursor: str | None = None


class ChangeOp(Request, frozen=True, kw_only=True):
    """A new compatibility level."""

    compat: Compat


# --- links and verdicts -----------------------------------------------------------------------------------------


class LinkRecord(Record, frozen=True, kw_only=True):
    """An entry of the journal of links. `downstream_number` is None where it counts for the op whatever its version.

    `until` is the position of the entry that took its place. Where it is None, and `state` is not `revoked`, the link
    is in force.
    """

    upstream: str
    upstream_number: str
    downstream: str
    downstream_number: str | None
    valid: bool
    state: LinkState
    evidence: str | None
    position: int
    until: int | None = None
    registered_at: Time


class Linked(Record, frozen=True, kw_only=True):
    """The link that was entered, or revoked."""

    link: LinkRecord
    picked_yanked: tuple[PickedYanked, ...] = ()


class Links(Record, frozen=True, kw_only=True):
    """A page of links, newest first."""

    links: tuple[LinkRecord, ...]
    next_cursor: str | None = None


class NewLink(Request, frozen=True, kw_only=True):
    """An entry for the journal of links. `revoked` takes back the entry in force for the same four."""

    upstream: Reference
    downstream: Reference
    state: LinkState = "valid"
    evidence: Evidence | None = None


class OpNumber(Record, frozen=True, kw_only=True):
    """An op and one of its numbers; None where it has no version."""

    op: str
    number: str | None


class EdgeVerdict(Record, frozen=True, kw_only=True):
    """The verdict of one edge, with its reason in words.

    `by_entry`: an entry for the very upstream version says so. An invalid edge that has none is not validated so far.
    """

    upstream: OpNumber
    downstream: OpNumber
    verdict: VerdictWord
    reason: str
    by_entry: bool = False


class Validation(Record, frozen=True, kw_only=True):
    """The verdict over all edges, and the versions that were asked about.

    `position` is that of the last entry of the journal that it may depend on, and its etag.
    """

    verdict: VerdictWord
    edges: tuple[EdgeVerdict, ...]
    versions: tuple[OpNumber, ...]
    pipeline: str | None = None
    picked_yanked: tuple[PickedYanked, ...] = ()
    position: int = 0


class Resolution(Record, frozen=True, kw_only=True):
    """The newest versions of a pipeline's ops that are valid with one another, one of each, in the order of the data.

    Where there is no such set, `versions` are empty, `verdict` is `unknown` if only links are missing, else `invalid`,
    and `conflict` has a smallest part of the edges that can't all be valid, each with the newest versions and why.
    """

    pipeline: str
    verdict: VerdictWord
    versions: tuple[VersionRecord, ...]
    edges: tuple[tuple[str, str], ...]
    passed_over: tuple[PassedOver, ...]
    conflict: tuple[EdgeVerdict, ...] = ()
    picked_yanked: tuple[PickedYanked, ...] = ()
    position: int


class LockedVersion(Request, frozen=True, kw_only=True):
    """A version in a lock: `version` are its three subversions."""

    op: Name
    version: Text
    digest: DigestText | None = None


class Lock(Request, frozen=True, kw_only=True):
    """What a lock says of a pipeline."""

    edges: Annotated[tuple[tuple[Name, Name], ...], Meta(max_length=10000)]
    versions: Annotated[tuple[LockedVersion, ...], Meta(max_length=1000)]


class Check(Record, frozen=True, kw_only=True):
    """Whether a lock still holds: the same edges, nothing yanked or gone, every edge valid."""

    pipeline: str
    holds: bool
    findings: tuple[str, ...]
    position: int


class AffectedOp(Record, frozen=True, kw_only=True):
    """An op that has to be retrained, with its latest version, and why."""

    op: str
    number: str | None
    verdict: VerdictWord
    reason: str


class Affected(Record, frozen=True, kw_only=True):
    """The ops for which a version is not valid, the direct ones first, and those downstream of them."""

    version: OpNumber
    affected: tuple[AffectedOp, ...]
    picked_yanked: tuple[PickedYanked, ...] = ()


# --- pipelines --------------------------------------------------------------------------------------------------


class PipelineRecord(Record, frozen=True, kw_only=True):
    """A pipeline: its ops in the order of the data, and its edges as (upstream, downstream)."""

    name: str
    ops: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]
    registered_at: Time
    position: int
    created: bool = False


class Pipelines(Record, frozen=True, kw_only=True):
    """A page of pipelines, by name."""

    pipelines: tuple[PipelineRecord, ...]
    next_cursor: str | None = None


class NewPipeline(Request, frozen=True, kw_only=True):
    """A pipeline: `ops` alone are a chain when `edges` is None, else all ops are in one of the two."""

    name: Name
    ops: Annotated[tuple[Name, ...], Meta(max_length=1000)] = ()
    edges: Annotated[tuple[tuple[Name, Name], ...], Meta(max_length=10000)] | None = None


# --- the daemon -------------------------------------------------------------------------------------------------


class Status(Record, frozen=True, kw_only=True):
    """The daemon that answers. `home` is None where it has no data folder."""

    version: str
    pid: int
    home: str | None
    schema: str
    started_at: Time


class Problem(Record, frozen=True, kw_only=True):
    """An error on the wire (RFC 9457); `code`, `details` and `hint` are those of `protocol.errors`."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    details: dict[str, Any] = {}


T = TypeVar("T")


def fingerprint(parts: Sequence[bytes]) -> str:
    """The SHA-256 of parts that can't be mistaken for one another, in hex."""
    seen = hashlib.sha256()
    for part in parts:
        seen.update(len(part).to_bytes(8, "big") + part)
    return seen.hexdigest()


def encode(record: msgspec.Struct) -> bytes:
    """The record as JSON."""
    return msgspec.json.encode(record)


def decode(body: bytes | bytearray | memoryview, kind: type[T]) -> T:
    """The record in the JSON; raises InvalidRequest with the place and the reason.

    Stricter than msgspec alone: a key that comes twice is refused (msgspec takes the last), and so is depth.
    """
    try:
        record = msgspec.json.decode(body, type=kind)
        _check_shape(json.loads(bytes(body), object_pairs_hook=_Pairs))
    except (msgspec.DecodeError, ValueError) as error:
        raise errors.InvalidRequest(reason=str(error)[:500]) from None
    except RecursionError:
        raise errors.InvalidRequest(reason="the JSON is nested too deep") from None
    return record


class _Pairs(list[tuple[str, Any]]):
    """An object as json saw it, with all its keys."""


def _check_shape(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise ValueError("the JSON is nested too deep")
    if isinstance(value, _Pairs):
        keys = [key for key, _ in value]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice!r} comes twice")
        _check_all([inner for _, inner in value], depth)
    elif isinstance(value, list):
        _check_all(value, depth)


def _check_all(values: Sequence[Any], depth: int) -> None:
    for value in values:
        _check_shape(value, depth + 1)
