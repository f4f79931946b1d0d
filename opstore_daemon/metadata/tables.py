"""The tables. Every rule that a schema can keep is kept here, as a constraint.

Times are microseconds since 1970 in UTC. Rows are never deleted where a number, a sequence or a position was given.
What can change (a label, a link, a tag, a yank, a pipeline) is a row for each entry of the journal: `until` is the
position of the entry that took its place, NULL as long as it is in force. So nothing is overwritten, and what was in
force at a position is a range condition.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from opstore_daemon.protocol.versions import HIGHEST

_IN_FORCE: dict[str, Any] = {"sqlite_where": text("until IS NULL"), "postgresql_where": text("until IS NULL")}
_TARGET = text("coalesce(downstream_version_id, 0)")

# SQLite's rowid holds 64 bits, but only a column declared INTEGER can be it.
Position = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """All tables; constraints have names, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Counter(Base):
    """The one row that gives positions; its update is the lock that puts commits in order."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(Position)
    __table_args__ = (CheckConstraint("id = 1", "one"),)


class Journal(Base):
    """An entry of the journal, in commit order. The entries of one transaction share their time."""

    __tablename__ = "journal"
    position: Mapped[int] = mapped_column(Position, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
    kind: Mapped[str] = mapped_column(String(16))
    __table_args__ = (CheckConstraint("kind IN ('version', 'link', 'level', 'tag', 'yank', 'pipeline')", "kind"),)


class Op(Base):
    """An op, and the counter of its registrations.

    `position` is the entry that it came with, `changed` the last one that verdicts about it may depend on.
    """

    __tablename__ = "op"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    compat: Mapped[str] = mapped_column(String(8), server_default="major")
    last_sequence: Mapped[int] = mapped_column(server_default="0")
    position: Mapped[int] = mapped_column(Position, server_default="0")
    changed: Mapped[int] = mapped_column(Position, server_default="0")
    __table_args__ = (
        CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
    )


class Version(Base):
    """A version. `stored_position` is the entry at which its bytes came; all that tells of them is NULL before."""

    __tablename__ = "version"
    id: Mapped[int] = mapped_column(primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"))
    sequence: Mapped[int]
    major: Mapped[str] = mapped_column(String(64))
    minor: Mapped[str] = mapped_column(String(64))
    patch: Mapped[str] = mapped_column(String(64))
    major_number: Mapped[int]
    minor_number: Mapped[int]
    patch_number: Mapped[int]
    digest: Mapped[str | None] = mapped_column(String(71))
    size: Mapped[int | None] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), unique=True)
    stored_position: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"), unique=True)
    registered_at: Mapped[int] = mapped_column(BigInteger)
    message: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    # The message that came with the bytes, where they came later.
    stored_message: Mapped[str | None] = mapped_column(Text)
    format: Mapped[str | None] = mapped_column(String(64))
    libraries: Mapped[str | None] = mapped_column(Text)  # JSON: their versions by name
    sample: Mapped[str | None] = mapped_column(String(39))  # of bytes that came by an upload
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
        Index(None, "op_id", "digest", "sequence"),
        Index(
            "ix_version_sample",
            "sample",
            sqlite_where=text("sample IS NOT NULL"),
            postgresql_where=text("sample IS NOT NULL"),
        ),
        Index(None, "op_id", "position"),
        Index(
            "ix_version_stored",
            "op_id",
            "sequence",
            sqlite_where=text("digest IS NOT NULL"),
            postgresql_where=text("digest IS NOT NULL"),
        ),
    )


class Label(Base):
    """What users noted on a version; the newest value of a key counts."""

    __tablename__ = "label"
    version_id: Mapped[int] = mapped_column(ForeignKey("version.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    value: Mapped[str] = mapped_column(Text)
    until: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"))
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        Index("uq_label_in_force", "version_id", "key", unique=True, **_IN_FORCE),
        Index(None, "position"),
    )


class Level(Base):
    """A change of an op's compatibility level, from its position on."""

    __tablename__ = "level"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"))
    compat: Mapped[str] = mapped_column(String(8))
    __table_args__ = (
        CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),
        Index(None, "op_id", "position"),
    )


class Link(Base):
    """An entry between an upstream version and a downstream version (or, NULL, the downstream op).

    `upstream_major` and `upstream_minor` are the version's: an index finds compatible versions by them.
    """

    __tablename__ = "link"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    upstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"))
    upstream_version_id: Mapped[int] = mapped_column(ForeignKey("version.id"))
    upstream_major: Mapped[int]
    upstream_minor: Mapped[int]
    downstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"))
    downstream_version_id: Mapped[int | None] = mapped_column(ForeignKey("version.id"))
    state: Mapped[str] = mapped_column(String(8))
    evidence: Mapped[str | None] = mapped_column(Text)
    until: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"))
    __table_args__ = (
        CheckConstraint("state IN ('valid', 'invalid', 'revoked')", "state"),
        CheckConstraint("upstream_id <> downstream_id", "two_ops"),
        CheckConstraint("until > position", "until"),
        # One entry in force for the same four; NULLs are distinct in a UNIQUE, so the op itself counts as 0.
        Index(
            "uq_link_in_force",
            "upstream_version_id",
            "downstream_id",
            _TARGET,
            unique=True,
            **_IN_FORCE,
        ),
        Index("ix_link_between", "downstream_id", "upstream_id", "state", "position", **_IN_FORCE),
        # Compatible versions: by the numbers that they share. A downstream version's own links stand together, too.
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
        Index("ix_link_upstream", "upstream_id", "position"),
        Index("ix_link_downstream", "downstream_id", "position"),
        # What was, at a position.
        Index("ix_link_of_version", "upstream_version_id", "downstream_id", "position"),
        Index("ix_link_target", "downstream_id", "upstream_id", _TARGET, "position"),
        Index("ix_link_history", "downstream_id", "upstream_id", "position"),
    )


class Tag(Base):
    """A move of a tag of an op, to a version or (NULL) away. One entry may move tags of several ops."""

    __tablename__ = "tag"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version_id: Mapped[int | None] = mapped_column(ForeignKey("version.id"))
    until: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"))
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
        Index("uq_tag_in_force", "op_id", "name", unique=True, **_IN_FORCE),
        Index("ix_tag_version", "version_id", **_IN_FORCE),
    )


class Yank(Base):
    """An entry that a version is yanked, or no longer so."""

    __tablename__ = "yank"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("version.id"))
    yanked: Mapped[bool]
    reason: Mapped[str | None] = mapped_column(Text)
    until: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"))
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("yanked IN (0, 1)", "yanked"),
        CheckConstraint("NOT yanked OR reason IS NOT NULL", "reason"),
        Index("uq_yank_in_force", "version_id", unique=True, **_IN_FORCE),
    )


class Pipeline(Base):
    """A named directed acyclic graph of ops, until its removal."""

    __tablename__ = "pipeline"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    registered_at: Mapped[int] = mapped_column(BigInteger)
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"))
    until: Mapped[int | None] = mapped_column(Position, ForeignKey("journal.position"))
    __table_args__ = (
        CheckConstraint("until > position", "until"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
        Index("uq_pipeline_in_force", "name", unique=True, **_IN_FORCE),
        Index(None, "name"),
    )


class PipelineOp(Base):
    """An op's place in a pipeline, in the order of the data."""

    __tablename__ = "pipeline_op"
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipeline.id"), primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    place: Mapped[int]
    __table_args__ = (UniqueConstraint("pipeline_id", "place"), Index(None, "op_id"))


class PipelineEdge(Base):
    """An edge of a pipeline."""

    __tablename__ = "pipeline_edge"
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipeline.id"), primary_key=True)
    upstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    downstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    __table_args__ = (CheckConstraint("upstream_id <> downstream_id", "two_ops"), Index(None, "upstream_id"))


class Upload(Base):
    """Bytes that are on their way in; the bytes themselves are a draft of the saver."""

    __tablename__ = "upload"
    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    size: Mapped[int | None] = mapped_column(BigInteger)
    touched_at: Mapped[int] = mapped_column(BigInteger, index=True)


class Answer(Base):
    """What a request with an idempotency key was answered, so that a repetition has the effect of one."""

    __tablename__ = "answer"
    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    body: Mapped[str] = mapped_column(Text)
    at: Mapped[int] = mapped_column(BigInteger, index=True)
