"""The tables. Every rule that a schema can keep is kept here, as a constraint.

Times are microseconds since 1970 in UTC. Rows are never deleted where a number, a sequence or a position was
given; `link.until` marks the position of the entry that took a link's place, so that nothing is overwritten.
"""

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
    """An entry of the journal: versions, links and levels, in commit order."""

    __tablename__ = "journal"
    position: Mapped[int] = mapped_column(Position, primary_key=True, autoincrement=False)
    at: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(16))
    __table_args__ = (CheckConstraint("kind IN ('version', 'link', 'level')", "kind"),)


class Op(Base):
    """An op, and the counter of its registrations."""

    __tablename__ = "op"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    compat: Mapped[str] = mapped_column(String(8), server_default="major")
    last_sequence: Mapped[int] = mapped_column(server_default="0")
    __table_args__ = (
        CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),
        CheckConstraint("length(name) BETWEEN 1 AND 128", "name"),
    )


class Version(Base):
    """A version. `stored_position` is the entry at which its bytes came; all three are NULL where none did."""

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
    format: Mapped[str | None] = mapped_column(String(64))
    libraries: Mapped[str | None] = mapped_column(Text)  # JSON: their versions by name
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
    value: Mapped[str] = mapped_column(Text)


class Level(Base):
    """A change of an op's compatibility level, from its position on."""

    __tablename__ = "level"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"), index=True)
    compat: Mapped[str] = mapped_column(String(8))
    __table_args__ = (CheckConstraint("compat IN ('major', 'minor', 'exact')", "compat"),)


class Link(Base):
    """An entry between an upstream version and a downstream version (or, NULL, the downstream op)."""

    __tablename__ = "link"
    position: Mapped[int] = mapped_column(Position, ForeignKey("journal.position"), primary_key=True)
    upstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"))
    upstream_version_id: Mapped[int] = mapped_column(ForeignKey("version.id"))
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
            text("coalesce(downstream_version_id, 0)"),
            unique=True,
            sqlite_where=text("until IS NULL"),
            postgresql_where=text("until IS NULL"),
        ),
        Index(
            "ix_link_between",
            "downstream_id",
            "upstream_id",
            "state",
            "position",
            sqlite_where=text("until IS NULL"),
            postgresql_where=text("until IS NULL"),
        ),
        Index(
            "ix_link_upstream",
            "upstream_id",
            "position",
            sqlite_where=text("until IS NULL"),
            postgresql_where=text("until IS NULL"),
        ),
        Index("ix_link_history", "downstream_id", "upstream_id", "position"),
        Index("ix_link_history_upstream", "upstream_id", "position"),
    )


class Pipeline(Base):
    """A named directed acyclic graph of ops."""

    __tablename__ = "pipeline"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    registered_at: Mapped[int] = mapped_column(BigInteger)


class PipelineOp(Base):
    """An op's place in a pipeline, in the order of the data."""

    __tablename__ = "pipeline_op"
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipeline.id"), primary_key=True)
    op_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    place: Mapped[int]
    __table_args__ = (UniqueConstraint("pipeline_id", "place"),)


class PipelineEdge(Base):
    """An edge of a pipeline."""

    __tablename__ = "pipeline_edge"
    pipeline_id: Mapped[int] = mapped_column(ForeignKey("pipeline.id"), primary_key=True)
    upstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    downstream_id: Mapped[int] = mapped_column(ForeignKey("op.id"), primary_key=True)
    __table_args__ = (CheckConstraint("upstream_id <> downstream_id", "two_ops"),)


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
