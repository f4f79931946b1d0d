"""The records on the wire: each is the type, its strict decoder and its JSON schema.

Sizes are bytes, times are UTC (RFC 3339 on the wire). Keys that docs/json.md promises keep their names. There is a
module for each noun; import the records from here.
"""

from opstore_daemon.protocol.records.affected import Affected, AffectedOp
from opstore_daemon.protocol.records.base import (
    EXACT,
    LEVELS,
    SET_VERDICTS,
    VERDICTS,
    Basis,
    Compat,
    Fields,
    Level,
    LinkState,
    Otherwise,
    Record,
    Request,
    SetBasis,
    UploadId,
    VerdictWord,
)
from opstore_daemon.protocol.records.blobs import BlobRecord, Blobs, DirectBytes
from opstore_daemon.protocol.records.collections import Collection, NewCollection
from opstore_daemon.protocol.records.daemon import Problem, Status
from opstore_daemon.protocol.records.details import VersionDetails
from opstore_daemon.protocol.records.fsck import Finding, FsckPage, FsckReport
from opstore_daemon.protocol.records.journal import Journal, JournalEntry
from opstore_daemon.protocol.records.links import Linked, LinkRecord, Links, NewLink
from opstore_daemon.protocol.records.ops import ChangeOp, OpRecord, Ops
from opstore_daemon.protocol.records.picked import PickedYanked
from opstore_daemon.protocol.records.pipelines import NewPipeline, PipelineRecord, Pipelines
from opstore_daemon.protocol.records.removals import Need, NewRemoval, Removal
from opstore_daemon.protocol.records.resolutions import Check, Lock, LockedVersion, Resolution, Upgrade
from opstore_daemon.protocol.records.runs import (
    BisectionRecord,
    Bisections,
    NewBisection,
    NewRun,
    RecordedRun,
    RunRecord,
    RunResult,
    Runs,
    SetChange,
    SetHistory,
)
from opstore_daemon.protocol.records.sessions import Invitation
from opstore_daemon.protocol.records.tags import NewTag, Tagged, TagRecord, Tags
from opstore_daemon.protocol.records.uploads import (
    NewPart,
    NewParts,
    NewUpload,
    PartUrls,
    SentPart,
    SentParts,
    UnfinishedUpload,
    UnfinishedUploads,
    Upload,
)
from opstore_daemon.protocol.records.validations import SetVerdict, Validation
from opstore_daemon.protocol.records.verdicts import EdgeVerdict, OpVersion, combine
from opstore_daemon.protocol.records.versions import (
    ChangeVersion,
    NewVersion,
    NewYank,
    Pushed,
    SkippedVersion,
    VersionRecord,
    Versions,
)
from opstore_daemon.protocol.records.wire import (
    MAX_DEPTH,
    decode,
    decoder,
    encode,
    fingerprint,
    in_ascii,
    json_schema,
    parse,
)

__all__ = [
    "EXACT",
    "LEVELS",
    "MAX_DEPTH",
    "SET_VERDICTS",
    "VERDICTS",
    "Affected",
    "AffectedOp",
    "Basis",
    "BisectionRecord",
    "Bisections",
    "BlobRecord",
    "Blobs",
    "ChangeOp",
    "ChangeVersion",
    "Check",
    "Collection",
    "Compat",
    "DirectBytes",
    "EdgeVerdict",
    "Fields",
    "Finding",
    "FsckPage",
    "FsckReport",
    "Invitation",
    "Journal",
    "JournalEntry",
    "Level",
    "LinkRecord",
    "LinkState",
    "Linked",
    "Links",
    "Lock",
    "LockedVersion",
    "Need",
    "NewBisection",
    "NewCollection",
    "NewLink",
    "NewPart",
    "NewParts",
    "NewPipeline",
    "NewRemoval",
    "NewRun",
    "NewTag",
    "NewUpload",
    "NewVersion",
    "NewYank",
    "OpRecord",
    "OpVersion",
    "Ops",
    "Otherwise",
    "PartUrls",
    "PickedYanked",
    "PipelineRecord",
    "Pipelines",
    "Problem",
    "Pushed",
    "Record",
    "RecordedRun",
    "Removal",
    "Request",
    "Resolution",
    "RunRecord",
    "RunResult",
    "Runs",
    "SentPart",
    "SentParts",
    "SetBasis",
    "SetChange",
    "SetHistory",
    "SetVerdict",
    "SkippedVersion",
    "Status",
    "TagRecord",
    "Tagged",
    "Tags",
    "UnfinishedUpload",
    "UnfinishedUploads",
    "Upgrade",
    "Upload",
    "UploadId",
    "Validation",
    "VerdictWord",
    "VersionDetails",
    "VersionRecord",
    "Versions",
    "combine",
    "decode",
    "decoder",
    "encode",
    "fingerprint",
    "in_ascii",
    "json_schema",
    "parse",
]
