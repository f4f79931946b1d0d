"""The tables. Every rule that a schema can enforce is a constraint here.

Times are microseconds since 1970 in UTC. Rows that have a version number, a sequence or a position are never deleted.
What can change (a label, a link, a tag, a yank, a pipeline) has a row for each entry of the journal: `until` is the
position of the entry that replaced it, NULL while it is in force. So nothing is overwritten, and the state as of a
position is a range condition.
"""

from typing import Any, TypeVar, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.schema import SchemaItem
from sqlalchemy.sql import FromClause

from opstore_daemon.protocol.authors import MAX_AUTHOR
from opstore_daemon.protocol.versions import HIGHEST

# Not `postgresql_where` too: SQLAlchemy would import its dialect of PostgreSQL for it, which takes a tenth of a second.
_IN_FORCE: dict[str, Any] = {"sqlite_where": text("until IS NULL")}
_TARGET = text("coalesce(downstream_version_id, 0)")

# SQLite's rowid holds 64 bits, but only a column declared INTEGER can be it.
Position = BigInteger().with_variant(Integer, "sqlite")

T = TypeVar("T", bound="type[Base]")


def _column(type_: Any, *constraints: SchemaItem, **options: Any) -> Any:
    """Return a column, NOT NULL unless the options say otherwise; its attribute has the type."""
    return Column(type_, *constraints, **{"nullable": False, **options})


class _TableClass(type):
    """The metaclass of tables: SQLAlchemy's functions accept such a class as the table that it describes."""

    __table__: FromClause

    def __clause_element__(cls) -> FromClause:
        return cls.__table__


class Base(metaclass=_TableClass):
    """A table, with its columns as attributes. Constraints have names, so that migrations can refer to them.

    Not SQLAlchemy's ORM: no query needs more than typed columns, and its mapping doubles the import time.
    """

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    __tablename__: str
    __table_args__: tuple[SchemaItem, ...] = ()

    def __init_subclass__(cls) -> None:
        columns = {name: value for name, value in vars(cls).items() if isinstance(value, Column)}
        for name, column in columns.items():
            column.name = column.key = name
        cls.__table__ = Table(cls.__tablename__, cls.metadata, *columns.values(), *cls.__table_args__)


def aliased(table: T) -> T:
    """Return the table under another name, for a query that uses it more than once."""
    alias = table.__table__.alias()
    return cast("T", _TableClass(table.__name__, (), {"__table__": alias, **dict(alias.c)}))


class Counter(Base):
    """The one row that assigns positions; its update is the lock that orders commits.

    `at` is the time of the last entry, 0 if there is none: all daemons of a database take theirs from it. Daemons that
    know no schema from `oldest_schema` on may not write any more.
    """

    __tablename__ = "counter"
    id: ColumnElement[int] = _column(Integer, primary_key=True)
    position: ColumnElement[int] = _column(Position)
    at: ColumnElement[int] = _column(BigInteger, server_default="0")
    oldest_schema: ColumnElement[str] = _column(String(32), server_default="0012")
    __table_args__ = (CheckConstraint("id = 1", "one"),)


class StoreIdentity(Base):
    """The one row that says which store this is: an id that never changes and depends on no path.

    The saver carries the same id, so that a database and blobs that do not belong together are noticed. `release` is
    the one that created the schema or upgraded it last: an older one that refuses the database can name it.
    `collected_at` is the time of the last daily collection of garbage, NULL if there was none.
    """

    __tablename__ = "store"
    one: ColumnElement[int] = _column(Integer, primary_key=True, autoincrement=False)
    id: ColumnElement[str] = _column(String(32))
    created_at: ColumnElement[int] = _column(BigInteger)
    release: ColumnElement[str | None] = _column(String(32), nullable=True)
    collected_at: ColumnElement[int | None] = _column(BigInteger, nullable=True)
    __table_args__ = (CheckConstraint("one = 1", "one"), CheckConstraint("length(id) = 32", "id"))


class Journal(Base):
    """An entry of the journal, in commit order. The entries of one transaction share their time and author.

    The author is whom the client named (protocol.authors); NULL if it named nobody. `op_id` is the op that the entry is
    about; NULL for links, tags and runs, which may be about several and have positions by op, and for pipelines.
    """

    __tablename__ = "journal"
    position: ColumnElement[int] = _column(Position, primary_key=True, autoincrement=False)
    at: ColumnElement[int] = _column(BigInteger, index=True)
    kind: ColumnElement[str] = _column(String(16))
    author: ColumnElement[str | None] = _column(String(MAX_AUTHOR), nullable=True)
    op_id: ColumnElement[int | None] = _column(Integer, ForeignKey("op.id"), nullable=True)
    __table_args__ = (
        CheckConstraint(
            "kind IN ('version', 'link', 'level', 'tag', 'yank', 'pipeline', 'run', 'bisection', 'removal')", "kind"
        ),
        Index("ix_journal_op", "op_id", "position", sqlite_where=text("op_id IS NOT NULL")),
    )


class Op(Base):
    """An op, and the counter of its registrations.

    `position` is the entry that created it, `changed` the last one that verdicts about it may depend on. `compat` is
    the compatibility level, `created_compat` the one that it was created with.
    """

    __tablename__ = "op"
    id: ColumnElement[int] = _column(Integer, primary_key=True)
    name: ColumnElement[str] = _column(String(128), unique=True)
    compat: ColumnElement[str] = _column(String(8), server_default="major")  # no insert relies on the default
    last_sequence: ColumnElement[int] = _column(Integer, server_default="0")
    position: ColumnElement[int] = _column(Position, server_default="0")
    changed: ColumnElement[int] = _column(Position, server_default="0")
    created_compat: ColumnElement[str] = _column(String(8), server_default="major")
    __table_args__ = (
        CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),
        CheckConstraint("created_compat IN ('major', 'minor', 'exact')", "created_compat"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
    )


class Version(Base):
    """A version. `stored_position` is the entry that added its bytes; columns that describe them are NULL before.

    `removed_position` is the entry that removed it, NULL if none did. Its row stays: it keeps the number, the sequence
    and the digest of what is gone.
    """

    __tablename__ = "version"
    id: ColumnElement[int] = _column(Integer, primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    sequence: ColumnElement[int] = _column(Integer)
    major: ColumnElement[str] = _column(String(64))
    minor: ColumnElement[str] = _column(String(64))
    patch: ColumnElement[str] = _column(String(64))
    major_number: ColumnElement[int] = _column(Integer)
    minor_number: ColumnElement[int] = _column(Integer)
    patch_number: ColumnElement[int] = _column(Integer)
    digest: ColumnElement[str | None] = _column(String(71), nullable=True)
    size: ColumnElement[int | None] = _column(BigInteger, nullable=True)
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), unique=True)
    stored_position: ColumnElement[int | None] = _column(
        Position, ForeignKey("journal.position"), unique=True, nullable=True
    )
    registered_at: ColumnElement[int] = _column(BigInteger)
    message: ColumnElement[str | None] = _column(Text, nullable=True)
    note: ColumnElement[str | None] = _column(Text, nullable=True)
    # The message of the push, if the version was registered before.
    stored_message: ColumnElement[str | None] = _column(Text, nullable=True)
    format: ColumnElement[str | None] = _column(String(64), nullable=True)
    libraries: ColumnElement[str | None] = _column(Text, nullable=True)  # JSON: versions by name
    sample: ColumnElement[str | None] = _column(String(39), nullable=True)  # only of bytes that were uploaded
    filename: ColumnElement[str | None] = _column(Text, nullable=True)
    # 1 or NULL. Not Boolean, whose values SQLAlchemy converts, so that no statement bypasses it (metadata.statements).
    executable: ColumnElement[int | None] = _column(Integer, nullable=True)
    removed_position: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        UniqueConstraint("op_id", "sequence"),
        UniqueConstraint("op_id", "major", "minor", "patch"),
        UniqueConstraint("op_id", "major_number", "minor_number", "patch_number"),
        CheckConstraint("sequence >= 1", "sequence"),
        CheckConstraint(
            f"major_number BETWEEN 1 AND {HIGHEST} AND minor_number BETWEEN 0 AND {HIGHEST} "
            f"AND patch_number BETWEEN 0 AND {HIGHEST}",
            "number",
        ),
        CheckConstraint(
            "(digest IS NULL) = (size IS NULL) AND (digest IS NULL) = (stored_position IS NULL)", "stored_whole"
        ),
        Index(None, "digest"),
        Index("ix_version_removed", "op_id", "removed_position", sqlite_where=text("removed_position IS NOT NULL")),
        Index(None, "op_id", "digest", "sequence"),
        Index(
            "ix_version_sample",
            "sample",
            sqlite_where=text("sample IS NOT NULL"),
        ),
        Index(None, "op_id", "position"),
        Index(
            "ix_version_stored",
            "op_id",
            "sequence",
            sqlite_where=text("digest IS NOT NULL"),
        ),
        # The newest version of a line, stored or only registered: without these, SQLite reads all newer versions. One
        # index of both would tie with that of the stored ones, and SQLite might choose it for them.
        *(
            Index(f"ix_version_{kind}_{name}", "op_id", *columns, "sequence", sqlite_where=text(condition))
            for kind, condition in (("stored", "digest IS NOT NULL"), ("registered", "digest IS NULL"))
            for name, columns in (("major", ["major_number"]), ("minor", ["major_number", "minor_number"]))
        ),
    )


class Label(Base):
    """A label of a version; the newest value of a key counts."""

    __tablename__ = "label"
    version_id: ColumnElement[int] = _column(Integer, ForeignKey("version.id"), primary_key=True)
    key: ColumnElement[str] = _column(String(128), primary_key=True)
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    value: ColumnElement[str] = _column(Text)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        Index("uq_label_in_force", "version_id", "key", unique=True, **_IN_FORCE),
        Index(None, "position"),
        # For the journal: a label that no later value replaced was removed.
        Index("ix_label_until", "until", sqlite_where=text("until IS NOT NULL")),
    )


class Message(Base):
    """A message that replaced the one that a version was pushed with; an empty one means none."""

    __tablename__ = "message"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    version_id: ColumnElement[int] = _column(Integer, ForeignKey("version.id"))
    text: ColumnElement[str] = _column(Text)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        Index("uq_message_in_force", "version_id", unique=True, **_IN_FORCE),
        Index(None, "version_id", "position"),  # for past states
    )


class Description(Base):
    """A description of an op; the newest one counts, and an empty one means none."""

    __tablename__ = "description"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    text: ColumnElement[str] = _column(Text)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        Index("uq_description_in_force", "op_id", unique=True, **_IN_FORCE),
        Index(None, "op_id", "position"),  # for past states
    )


class Level(Base):
    """A change of an op's compatibility level, in force from its position on."""

    __tablename__ = "level"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    compat: ColumnElement[str] = _column(String(8))
    __table_args__ = (
        CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),
        Index(None, "op_id", "position"),
    )


class Link(Base):
    """An entry about a link from an upstream version to a downstream version (NULL: the downstream op).

    `upstream_major` and `upstream_minor` are the version's: an index finds compatible versions by them. `run_position`
    is the run that is its evidence; NULL if there is none.
    """

    __tablename__ = "link"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    upstream_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    upstream_version_id: ColumnElement[int] = _column(Integer, ForeignKey("version.id"))
    upstream_major: ColumnElement[int] = _column(Integer)
    upstream_minor: ColumnElement[int] = _column(Integer)
    downstream_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    downstream_version_id: ColumnElement[int | None] = _column(Integer, ForeignKey("version.id"), nullable=True)
    state: ColumnElement[str] = _column(String(8))
    evidence: ColumnElement[str | None] = _column(Text, nullable=True)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    run_position: ColumnElement[int | None] = _column(Position, ForeignKey("run.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("state IN ('valid', 'invalid', 'revoked')", "state"),
        CheckConstraint("upstream_id <> downstream_id", "two_ops"),
        CheckConstraint("until > position", "until"),
        # One entry in force per link; NULLs are distinct in a UNIQUE index, so the op itself counts as 0.
        Index(
            "uq_link_in_force",
            "upstream_version_id",
            "downstream_id",
            _TARGET,
            unique=True,
            **_IN_FORCE,
        ),
        Index("ix_link_between", "downstream_id", "upstream_id", "state", "position", **_IN_FORCE),
        # Compatible versions share these numbers. The index also groups the links of a downstream version.
        Index("ix_link_major", "downstream_id", "upstream_id", _TARGET, "upstream_major", "position"),
        Index(
            "ix_link_minor",
            "downstream_id",
            "upstream_id",
            _TARGET,
            "upstream_major",
            "upstream_minor",
            "position",
            **_IN_FORCE,
        ),
        # A compatible version with a valid link, whatever its downstream op.
        Index("ix_link_line", "upstream_id", "state", "upstream_major", "upstream_minor", "position", **_IN_FORCE),
        Index("ix_link_upstream", "upstream_id", "position"),
        Index("ix_link_downstream", "downstream_id", "position"),
        # For past states.
        Index("ix_link_of_version", "upstream_version_id", "downstream_id", "position"),
        Index("ix_link_target", "downstream_id", "upstream_id", _TARGET, "position"),
        Index("ix_link_history", "downstream_id", "upstream_id", "position"),
    )


class Tag(Base):
    """A move of a tag to a version of its op, or (NULL) its removal. One entry may move tags of several ops."""

    __tablename__ = "tag"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"), primary_key=True)
    name: ColumnElement[str] = _column(String(128), primary_key=True)
    version_id: ColumnElement[int | None] = _column(Integer, ForeignKey("version.id"), nullable=True)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
        Index("uq_tag_in_force", "op_id", "name", unique=True, **_IN_FORCE),
        Index(None, "op_id", "position"),  # for the journal of an op
        Index("ix_tag_version", "version_id", **_IN_FORCE),
    )


class Yank(Base):
    """An entry that yanks a version, or undoes its yank."""

    __tablename__ = "yank"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    version_id: ColumnElement[int] = _column(Integer, ForeignKey("version.id"))
    yanked: ColumnElement[bool] = _column(Boolean)
    reason: ColumnElement[str | None] = _column(Text, nullable=True)
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("yanked IN (0, 1)", "yanked"),
        CheckConstraint("NOT yanked OR reason IS NOT NULL", "reason"),
        Index("uq_yank_in_force", "version_id", unique=True, **_IN_FORCE),
    )


class Removal(Base):
    """An entry that removes a version for good or (`version_id` is NULL) an op, until a push creates it again."""

    __tablename__ = "removal"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    version_id: ColumnElement[int | None] = _column(Integer, ForeignKey("version.id"), nullable=True)
    reason: ColumnElement[str | None] = _column(Text, nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("version_id IS NULL OR until IS NULL", "for_good"),
        Index("uq_removal_in_force", "op_id", text("coalesce(version_id, 0)"), unique=True, **_IN_FORCE),
        Index(None, "op_id", "position"),
    )


class Pipeline(Base):
    """A named directed acyclic graph of ops, in force until its removal."""

    __tablename__ = "pipeline"
    id: ColumnElement[int] = _column(Integer, primary_key=True)
    name: ColumnElement[str] = _column(String(128))
    registered_at: ColumnElement[int] = _column(BigInteger)
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"))
    until: ColumnElement[int | None] = _column(Position, ForeignKey("journal.position"), nullable=True)
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
        Index("uq_pipeline_in_force", "name", unique=True, **_IN_FORCE),
        Index(None, "name"),
    )


class PipelineOp(Base):
    """An op of a pipeline, and its place in the order of the data."""

    __tablename__ = "pipeline_op"
    pipeline_id: ColumnElement[int] = _column(Integer, ForeignKey("pipeline.id"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"), primary_key=True)
    place: ColumnElement[int] = _column(Integer)
    __table_args__ = (UniqueConstraint("pipeline_id", "place"), Index(None, "op_id"))


class PipelineEdge(Base):
    """An edge of a pipeline."""

    __tablename__ = "pipeline_edge"
    pipeline_id: ColumnElement[int] = _column(Integer, ForeignKey("pipeline.id"), primary_key=True)
    upstream_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"), primary_key=True)
    downstream_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"), primary_key=True)
    __table_args__ = (CheckConstraint("upstream_id <> downstream_id", "two_ops"), Index(None, "upstream_id"))


class Run(Base):
    """A run of a command on a set of versions of a pipeline (protocol.records.NewRun).

    `set_digest` names the set (protocol.version_sets), `command_digest` the words of `command`, a JSON list. `duration`
    is in microseconds. `output` is UTF-8, compressed with zlib; the last column, so that no list reads it.
    """

    __tablename__ = "run"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    pipeline: ColumnElement[str] = _column(String(128))
    set_digest: ColumnElement[str] = _column(String(71))
    command: ColumnElement[str] = _column(Text)
    command_digest: ColumnElement[str] = _column(String(71))
    script: ColumnElement[str | None] = _column(String(71), nullable=True)
    script_path: ColumnElement[str | None] = _column(Text, nullable=True)
    result: ColumnElement[str] = _column(String(8))
    reason: ColumnElement[str] = _column(Text)
    exit_code: ColumnElement[int | None] = _column(BigInteger, nullable=True)
    duration: ColumnElement[int] = _column(BigInteger)
    repeat: ColumnElement[int] = _column(Integer)
    output_digest: ColumnElement[str] = _column(String(71))
    output_size: ColumnElement[int] = _column(BigInteger)
    git_commit: ColumnElement[str | None] = _column(String(80), nullable=True)
    ci_url: ColumnElement[str | None] = _column(Text, nullable=True)
    output: ColumnElement[bytes] = _column(LargeBinary)
    __table_args__ = (
        CheckConstraint("result IN ('passed', 'failed', 'unknown')", "result"),
        Index(None, "pipeline", "position"),
        Index(None, "set_digest", "position"),
        Index(None, "command_digest", "position"),
    )


class RunVersion(Base):
    """A version in the set of a run, and the place of its op in the order of the data."""

    __tablename__ = "run_version"
    run_position: ColumnElement[int] = _column(Position, ForeignKey("run.position"), primary_key=True)
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"), primary_key=True)
    version_id: ColumnElement[int] = _column(Integer, ForeignKey("version.id"))
    place: ColumnElement[int] = _column(Integer)
    __table_args__ = (
        UniqueConstraint("run_position", "place"),
        Index(None, "op_id", "run_position"),
        Index(None, "version_id", "run_position"),
    )


class Bisection(Base):
    """The result of a bisection of a pipeline (protocol.records.NewBisection).

    `version_id` is the latest version of the op of the first bad entry from that entry on; NULL if the op had none
    then. `command`, `skipped`, `runs` and `last_good_versions` are JSON lists.
    """

    __tablename__ = "bisection"
    position: ColumnElement[int] = _column(Position, ForeignKey("journal.position"), primary_key=True)
    pipeline: ColumnElement[str] = _column(String(128))
    command: ColumnElement[str] = _column(Text)
    script: ColumnElement[str | None] = _column(String(71), nullable=True)
    good: ColumnElement[int] = _column(Position, ForeignKey("journal.position"))
    bad: ColumnElement[int] = _column(Position, ForeignKey("journal.position"))
    last_good: ColumnElement[int] = _column(Position, ForeignKey("journal.position"))
    first_bad: ColumnElement[int] = _column(Position, ForeignKey("journal.position"))
    op_id: ColumnElement[int] = _column(Integer, ForeignKey("op.id"))
    version_id: ColumnElement[int | None] = _column(Integer, ForeignKey("version.id"), nullable=True)
    skipped: ColumnElement[str] = _column(Text)
    runs: ColumnElement[str] = _column(Text)
    last_good_versions: ColumnElement[str] = _column(Text)
    __table_args__ = (
        CheckConstraint("good <= last_good AND last_good < first_bad AND first_bad <= bad", "in_order"),
        Index(None, "pipeline", "position"),
    )


class DamagedBlob(Base):
    """A blob that `fsck --repair` found damaged or missing; a push of the same bytes deletes the row."""

    __tablename__ = "damaged_blob"
    digest: ColumnElement[str] = _column(String(71), primary_key=True)
    problem: ColumnElement[str] = _column(Text)
    found_at: ColumnElement[int] = _column(BigInteger)


class Upload(Base):
    """An unfinished upload; its bytes are a draft of the saver."""

    __tablename__ = "upload"
    id: ColumnElement[str] = _column(String(32), primary_key=True)
    owner: ColumnElement[str] = _column(String(64))
    size: ColumnElement[int | None] = _column(BigInteger, nullable=True)
    touched_at: ColumnElement[int] = _column(BigInteger, index=True)


class StoredObject(Base):
    """An object in an object store, recorded before the request that creates it: so no object is forgotten.

    `key` is random: whoever deletes an object never hits a newer one of the same bytes. `state` says what it is: a
    `draft` (bytes that are coming in, or what they left behind), the `blob` of a digest, in the `trash`, in
    `quarantine`, or `deleting`: nobody may use it any more, and its row goes after it. `at` is the time of that state.
    """

    __tablename__ = "object"
    key: ColumnElement[str] = _column(String(32), primary_key=True)
    state: ColumnElement[str] = _column(String(10))
    digest: ColumnElement[str | None] = _column(String(71), nullable=True)
    size: ColumnElement[int | None] = _column(BigInteger, nullable=True)
    at: ColumnElement[int] = _column(BigInteger)
    __table_args__ = (
        CheckConstraint("state IN ('draft', 'blob', 'trash', 'quarantine', 'deleting')", "state"),
        CheckConstraint("state = 'draft' OR state = 'deleting' OR (digest IS NOT NULL AND size IS NOT NULL)", "known"),
        Index("uq_object_blob", "digest", unique=True, sqlite_where=text("state = 'blob'")),
        Index("ix_object_state", "state", "key"),
        Index("ix_object_digest", "digest", "state"),
    )


class ObjectDraft(Base):
    """What an object store has of an upload, which any daemon can continue.

    `key` is the object that it becomes, by the multipart upload `multipart` (NULL: not begun). `size` counts the
    bytes in its parts and in the object `tail_key`, which has those that are too few for a part. `fence` is the number
    of its newest writer: earlier ones can record nothing any more. `sealed` is 1 once the object is complete.
    """

    __tablename__ = "object_draft"
    upload: ColumnElement[str] = _column(String(32), primary_key=True)
    key: ColumnElement[str] = _column(String(32), ForeignKey("object.key"), unique=True)
    multipart: ColumnElement[str | None] = _column(Text, nullable=True)
    size: ColumnElement[int] = _column(BigInteger, server_default="0")
    tail_key: ColumnElement[str | None] = _column(String(32), ForeignKey("object.key"), nullable=True)
    tail_size: ColumnElement[int] = _column(BigInteger, server_default="0")
    fence: ColumnElement[int] = _column(BigInteger, server_default="0")
    sealed: ColumnElement[int] = _column(Integer, server_default="0")
    __table_args__ = (
        CheckConstraint("(tail_key IS NULL) = (tail_size = 0)", "tail"),
        CheckConstraint("size >= tail_size AND tail_size >= 0", "size"),
    )


class ObjectPart(Base):
    """A part of a multipart upload that the object store has acknowledged, and has verified by its checksum."""

    __tablename__ = "object_part"
    upload: ColumnElement[str] = _column(String(32), ForeignKey("object_draft.upload"), primary_key=True)
    number: ColumnElement[int] = _column(Integer, primary_key=True)
    size: ColumnElement[int] = _column(BigInteger)
    etag: ColumnElement[str] = _column(Text)
    checksum: ColumnElement[str] = _column(Text)
    __table_args__ = (CheckConstraint("number BETWEEN 1 AND 10000", "number"), CheckConstraint("size >= 1", "size"))


class PageCode(Base):
    """A code that starts one session of the page; `session` is the session that it has started.

    Here and in `page_session`, codes and sessions are stored as the SHA-256 of their secret, in hex.
    """

    __tablename__ = "page_code"
    code: ColumnElement[str] = _column(String(64), primary_key=True)
    owner: ColumnElement[str] = _column(String(64))
    expires_at: ColumnElement[int] = _column(BigInteger, index=True)
    session: ColumnElement[str | None] = _column(String(64), nullable=True)


class PageSession(Base):
    """A session of the page, which any daemon of the database accepts."""

    __tablename__ = "page_session"
    session: ColumnElement[str] = _column(String(64), primary_key=True)
    owner: ColumnElement[str] = _column(String(64))
    expires_at: ColumnElement[int] = _column(BigInteger, index=True)


class IdempotentResult(Base):
    """The result of a request with an idempotency key, for repetitions of the request."""

    __tablename__ = "answer"
    owner: ColumnElement[str] = _column(String(64), primary_key=True)
    key: ColumnElement[str] = _column(String(128), primary_key=True)
    request: ColumnElement[str] = _column(String(64))
    body: ColumnElement[str] = _column(Text)
    at: ColumnElement[int] = _column(BigInteger, index=True)
