"""Each constraint refuses what it is for: the bad row is written past all our code."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, Connection, UniqueConstraint
from sqlalchemy.exc import IntegrityError

from opstore_daemon.metadata import Database
from opstore_daemon.metadata.tables import Base
from tests.support.for_each import for_each

GOOD = (
    "INSERT INTO journal (position, at, kind) VALUES (1, 0, 'version'), (2, 0, 'version'), (3, 0, 'link'),"
    " (4, 0, 'level'), (5, 0, 'version'), (6, 0, 'link'), (7, 0, 'tag'), (8, 0, 'yank'), (9, 0, 'pipeline'),"
    " (20, 0, 'run'), (21, 0, 'bisection'), (22, 0, 'run'), (23, 0, 'bisection'),"
    " (24, 0, 'removal'), (25, 0, 'removal')",
    "INSERT INTO op (id, name, last_sequence) VALUES (1, 'pca', 1), (2, 'forest', 1)",
    "INSERT INTO version (id, op_id, sequence, major, minor, patch, major_number, minor_number, patch_number,"
    " digest, size, position, stored_position, registered_at) VALUES"
    " (1, 1, 1, 'aaaa', 'aaaa', 'aaaa', 1, 0, 0, 'sha256:x', 5, 1, 1, 0),"
    " (2, 2, 1, 'aaaa', 'aaaa', 'aaaa', 1, 0, 0, NULL, NULL, 2, NULL, 0)",
    "INSERT INTO label (version_id, key, position, value) VALUES (1, 'k', 1, 'v')",
    "INSERT INTO link (position, upstream_id, upstream_version_id, upstream_major, upstream_minor, downstream_id,"
    " state) VALUES (3, 1, 1, 1, 0, 2, 'valid')",
    "INSERT INTO level (position, op_id, compat) VALUES (4, 1, 'minor')",
    "INSERT INTO pipeline (id, name, registered_at, position) VALUES (1, 'p', 0, 9)",
    "INSERT INTO pipeline_op (pipeline_id, op_id, place) VALUES (1, 1, 0)",
    "INSERT INTO pipeline_edge (pipeline_id, upstream_id, downstream_id) VALUES (1, 1, 2)",
    "INSERT INTO tag (position, op_id, name, version_id) VALUES (7, 1, 'prod', 1)",
    "INSERT INTO yank (position, version_id, yanked, reason) VALUES (8, 1, 1, 'broken')",
    "INSERT INTO message (position, version_id, text) VALUES (5, 1, 'new')",
    "INSERT INTO description (position, op_id, text) VALUES (4, 1, 'what it is for')",
    "INSERT INTO run (position, pipeline, set_digest, command, command_digest, result, reason, duration, repeat,"
    " output_digest, output_size, output) VALUES (20, 'p', 's', '[]', 'c', 'passed', 'r', 1, 1, 'd', 0, '')",
    "INSERT INTO run_version (run_position, op_id, version_id, place) VALUES (20, 1, 1, 0)",
    "INSERT INTO bisection (position, pipeline, command, good, bad, last_good, first_bad, op_id, skipped, runs,"
    " last_good_versions) VALUES (21, 'p', '[]', 1, 5, 2, 3, 1, '[]', '[]', '[]')",
    "INSERT INTO removal (position, op_id) VALUES (24, 1)",
    "INSERT INTO damaged_blob (digest, problem, found_at) VALUES ('sha256:x', 'missing', 0)",
    "INSERT INTO upload (id, owner, touched_at) VALUES ('u', 'o', 0)",
    "INSERT INTO object (key, state, digest, size, at) VALUES ('k', 'blob', 'sha256:x', 1, 0)",
    "INSERT INTO object (key, state, at) VALUES ('d', 'draft', 0), ('e', 'draft', 0), ('t', 'draft', 0)",
    "INSERT INTO object_draft (upload, key) VALUES ('u', 'd')",
    "INSERT INTO object_part (upload, number, size, etag, checksum) VALUES ('u', 1, 8, 'e', 'c')",
    "INSERT INTO page_code (code, owner, expires_at) VALUES ('c', 'o', 0)",
    "INSERT INTO page_session (session, owner, expires_at) VALUES ('s', 'o', 0)",
    "INSERT INTO answer (owner, key, request, body, at) VALUES ('o', 'k', 'r', '{}', 0)",
)

VERSION: dict[str, Any] = {
    "op_id": 1,
    "sequence": 2,
    "major": "aaaa",
    "minor": "aaaa",
    "patch": "bbbb",
    "major_number": 1,
    "minor_number": 0,
    "patch_number": 1,
    "digest": "sha256:y",
    "size": 7,
    "position": 5,
    "stored_position": 5,
    "registered_at": 0,
}
LINK: dict[str, Any] = {
    "position": 6,
    "upstream_id": 2,
    "upstream_version_id": 2,
    "upstream_major": 1,
    "upstream_minor": 0,
    "downstream_id": 1,
    "downstream_version_id": 1,
    "state": "valid",
}
RUN: dict[str, Any] = {
    "position": 22,
    "pipeline": "p",
    "set_digest": "s",
    "command": "[]",
    "command_digest": "c",
    "result": "failed",
    "reason": "r",
    "duration": 1,
    "repeat": 1,
    "output_digest": "d",
    "output_size": 0,
    "output": b"",
}
REMOVAL: dict[str, Any] = {"position": 25, "op_id": 2, "version_id": None, "until": None}
RUN_VERSION: dict[str, Any] = {"run_position": 20, "op_id": 2, "version_id": 2, "place": 1}
BISECTION: dict[str, Any] = {
    "position": 23,
    "pipeline": "p",
    "command": "[]",
    "good": 1,
    "bad": 4,
    "last_good": 2,
    "first_bad": 4,
    "op_id": 2,
    "version_id": 2,
    "skipped": "[]",
    "runs": "[]",
    "last_good_versions": "[]",
}

Row = tuple[str, dict[str, Any]]

# The constraint, as SQLite names it when it refuses, and a row that only this one refuses.
OBJECT: dict[str, Any] = {"key": "n", "state": "blob", "digest": "sha256:y", "size": 1, "at": 0}
PART: dict[str, Any] = {"upload": "u", "number": 2, "size": 1, "etag": "e", "checksum": "c"}

BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("ck_counter_one", "counter", {"id": 2, "position": 0}),
    ("ck_store_one", "store", {"one": 2, "id": "f" * 32, "created_at": 0}),
    ("ck_store_id", "store", {"one": 1, "id": "f" * 31, "created_at": 0}),
    ("store.one", "store", {"one": 1, "id": "f" * 32, "created_at": 0}),
    ("ck_journal_kind", "journal", {"position": 10, "at": 0, "kind": "rumour"}),
    ("ck_op_compat", "op", {"name": "x", "compat": "patch"}),
    ("ck_op_created_compat", "op", {"name": "x", "created_compat": "patch"}),
    ("ck_op_name", "op", {"name": ""}),
    ("ck_op_name", "op", {"name": "x" * 129}),
    ("ck_version_sequence", "version", VERSION | {"sequence": 0}),
    ("ck_version_number", "version", VERSION | {"major_number": 0}),
    ("ck_version_number", "version", VERSION | {"major_number": 2**31}),
    ("ck_version_number", "version", VERSION | {"minor_number": -1}),
    ("ck_version_number", "version", VERSION | {"minor_number": 2**31}),
    ("ck_version_number", "version", VERSION | {"patch_number": -1}),
    ("ck_version_number", "version", VERSION | {"patch_number": 2**31}),
    ("ck_version_stored_whole", "version", VERSION | {"digest": None}),
    ("ck_version_stored_whole", "version", VERSION | {"size": None}),
    ("ck_version_stored_whole", "version", VERSION | {"stored_position": None}),
    ("ck_version_stored_whole", "version", VERSION | {"digest": None, "size": None}),
    ("ck_level_compat", "level", {"position": 5, "op_id": 1, "compat": "loose"}),
    ("ck_link_state", "link", LINK | {"state": "perhaps"}),
    ("ck_link_two_ops", "link", LINK | {"downstream_id": 2}),
    ("ck_link_until", "link", LINK | {"until": 5}),
    ("ck_link_until", "link", LINK | {"until": 6}),
    ("ck_pipeline_edge_two_ops", "pipeline_edge", {"pipeline_id": 1, "upstream_id": 1, "downstream_id": 1}),
    ("op.name", "op", {"name": "pca"}),
    ("version.op_id, version.sequence", "version", VERSION | {"sequence": 1}),
    ("version.op_id, version.major, version.minor, version.patch", "version", VERSION | {"patch": "aaaa"}),
    (
        "version.op_id, version.major_number, version.minor_number, version.patch_number",
        "version",
        VERSION | {"patch_number": 0},
    ),
    ("version.position", "version", VERSION | {"position": 1}),
    ("version.stored_position", "version", VERSION | {"stored_position": 1}),
    (
        "index 'uq_link_in_force'",
        "link",
        LINK | {"upstream_id": 1, "upstream_version_id": 1, "downstream_id": 2, "downstream_version_id": None},
    ),
    ("pipeline.name", "pipeline", {"name": "p", "registered_at": 0, "position": 9}),
    ("ck_pipeline_name", "pipeline", {"name": "", "registered_at": 0, "position": 9}),
    ("ck_pipeline_until", "pipeline", {"name": "q", "registered_at": 0, "position": 9, "until": 9}),
    ("label.version_id, label.key", "label", {"version_id": 1, "key": "k", "position": 5, "value": "w"}),
    ("ck_label_until", "label", {"version_id": 1, "key": "l", "position": 5, "value": "w", "until": 4}),
    ("tag.op_id, tag.name", "tag", {"position": 8, "op_id": 1, "name": "prod", "version_id": 1}),
    ("ck_tag_name", "tag", {"position": 8, "op_id": 1, "name": "", "version_id": 1}),
    ("ck_tag_until", "tag", {"position": 8, "op_id": 1, "name": "x", "version_id": 1, "until": 8}),
    ("yank.version_id", "yank", {"position": 9, "version_id": 1, "yanked": 0}),
    ("ck_yank_until", "yank", {"position": 9, "version_id": 2, "yanked": 0, "until": 9}),
    ("ck_yank_yanked", "yank", {"position": 9, "version_id": 2, "yanked": 2, "reason": "x"}),
    ("ck_yank_reason", "yank", {"position": 9, "version_id": 2, "yanked": 1}),
    ("message.version_id", "message", {"position": 6, "version_id": 1, "text": ""}),
    ("message.position", "message", {"position": 5, "version_id": 2, "text": ""}),
    ("ck_message_until", "message", {"position": 6, "version_id": 2, "text": "", "until": 6}),
    ("description.op_id", "description", {"position": 6, "op_id": 1, "text": ""}),
    ("description.position", "description", {"position": 4, "op_id": 2, "text": ""}),
    ("ck_description_until", "description", {"position": 6, "op_id": 2, "text": "", "until": 6}),
    ("pipeline_op.pipeline_id, pipeline_op.place", "pipeline_op", {"pipeline_id": 1, "op_id": 2, "place": 0}),
    ("ck_run_result", "run", RUN | {"result": "ok"}),
    ("run.position", "run", RUN | {"position": 20}),
    (
        "run_version.run_position, run_version.op_id",
        "run_version",
        {"run_position": 20, "op_id": 1, "version_id": 1, "place": 1},
    ),
    (
        "run_version.run_position, run_version.place",
        "run_version",
        {"run_position": 20, "op_id": 2, "version_id": 2, "place": 0},
    ),
    ("ck_bisection_in_order", "bisection", BISECTION | {"last_good": 4}),
    ("bisection.position", "bisection", BISECTION | {"position": 21}),
    ("ck_removal_until", "removal", REMOVAL | {"until": 24}),
    ("ck_removal_for_good", "removal", REMOVAL | {"position": 23, "version_id": 2, "until": 25}),
    ("removal.position", "removal", REMOVAL | {"position": 24}),
    ("index 'uq_removal_in_force'", "removal", REMOVAL | {"op_id": 1}),
    ("damaged_blob.digest", "damaged_blob", {"digest": "sha256:x", "problem": "short", "found_at": 0}),
    ("object.key", "object", OBJECT | {"key": "k"}),
    ("ck_object_state", "object", OBJECT | {"state": "lost"}),
    ("ck_object_known", "object", OBJECT | {"state": "trash", "digest": None}),
    ("ck_object_known", "object", OBJECT | {"state": "blob", "size": None}),
    ("object.digest", "object", OBJECT | {"digest": "sha256:x"}),
    ("object_draft.upload", "object_draft", {"upload": "u", "key": "e"}),
    ("object_draft.key", "object_draft", {"upload": "v", "key": "d"}),
    ("ck_object_draft_tail", "object_draft", {"upload": "v", "key": "e", "size": 1, "tail_size": 1}),
    ("ck_object_draft_tail", "object_draft", {"upload": "v", "key": "e", "tail_key": "t"}),
    ("ck_object_draft_size", "object_draft", {"upload": "v", "key": "e", "tail_key": "t", "tail_size": 1}),
    ("object_part.upload, object_part.number", "object_part", PART | {"number": 1}),
    ("ck_object_part_number", "object_part", PART | {"number": 0}),
    ("ck_object_part_number", "object_part", PART | {"number": 10001}),
    ("ck_object_part_size", "object_part", PART | {"size": 0}),
    ("page_code.code", "page_code", {"code": "c", "owner": "p", "expires_at": 1}),
    ("page_session.session", "page_session", {"session": "s", "owner": "p", "expires_at": 1}),
    ("counter.id", "counter", {"id": 1, "position": 0}),
    ("journal.position", "journal", {"position": 1, "at": 0, "kind": "link"}),
    (
        "label.version_id, label.key, label.position",
        "label",
        {"version_id": 1, "key": "k", "position": 1, "value": "w", "until": 2},
    ),
    ("tag.position, tag.op_id, tag.name", "tag", {"position": 7, "op_id": 1, "name": "prod", "until": 9}),
    ("yank.position", "yank", {"position": 8, "version_id": 2, "yanked": 0}),
    ("level.position", "level", {"position": 4, "op_id": 1, "compat": "major"}),
    ("link.position", "link", LINK | {"position": 3}),
    ("pipeline_op.pipeline_id, pipeline_op.op_id", "pipeline_op", {"pipeline_id": 1, "op_id": 1, "place": 7}),
    (
        "pipeline_edge.pipeline_id, pipeline_edge.upstream_id, pipeline_edge.downstream_id",
        "pipeline_edge",
        {"pipeline_id": 1, "upstream_id": 1, "downstream_id": 2},
    ),
    ("upload.id", "upload", {"id": "u", "owner": "other", "touched_at": 0}),
    ("answer.owner, answer.key", "answer", {"owner": "o", "key": "k", "request": "s", "body": "", "at": 0}),
    *[
        ("FOREIGN KEY", table, row)
        for table, row in (
            ("journal", {"position": 10, "at": 0, "kind": "version", "op_id": 9}),
            ("version", VERSION | {"op_id": 9}),
            ("version", VERSION | {"position": 99}),
            ("version", VERSION | {"stored_position": 99}),
            ("label", {"version_id": 9, "key": "k", "position": 1, "value": "v"}),
            ("label", {"version_id": 2, "key": "k", "position": 99, "value": "v"}),
            ("label", {"version_id": 2, "key": "k", "position": 1, "value": "v", "until": 99}),
            ("tag", {"position": 99, "op_id": 1, "name": "x", "version_id": 1}),
            ("tag", {"position": 7, "op_id": 9, "name": "x", "version_id": 1}),
            ("tag", {"position": 7, "op_id": 1, "name": "x", "version_id": 9}),
            ("tag", {"position": 7, "op_id": 1, "name": "x", "version_id": 1, "until": 99}),
            ("yank", {"position": 99, "version_id": 2, "yanked": 0}),
            ("yank", {"position": 9, "version_id": 9, "yanked": 0}),
            ("yank", {"position": 9, "version_id": 2, "yanked": 0, "until": 99}),
            ("message", {"position": 99, "version_id": 2, "text": ""}),
            ("message", {"position": 9, "version_id": 9, "text": ""}),
            ("message", {"position": 9, "version_id": 2, "text": "", "until": 99}),
            ("description", {"position": 99, "op_id": 2, "text": ""}),
            ("description", {"position": 9, "op_id": 9, "text": ""}),
            ("description", {"position": 9, "op_id": 2, "text": "", "until": 99}),
            ("pipeline", {"name": "q", "registered_at": 0, "position": 99}),
            ("pipeline", {"name": "q", "registered_at": 0, "position": 9, "until": 99}),
            ("level", {"position": 99, "op_id": 1, "compat": "major"}),
            ("level", {"position": 5, "op_id": 9, "compat": "major"}),
            ("link", LINK | {"position": 99}),
            ("link", LINK | {"upstream_id": 9}),
            ("link", LINK | {"upstream_version_id": 9}),
            ("link", LINK | {"downstream_id": 9}),
            ("link", LINK | {"downstream_version_id": 9}),
            ("link", LINK | {"until": 99}),
            ("link", LINK | {"run_position": 21}),
            ("run", RUN | {"position": 99}),
            ("run_version", RUN_VERSION | {"run_position": 21}),
            ("run_version", RUN_VERSION | {"op_id": 9}),
            ("run_version", RUN_VERSION | {"version_id": 9}),
            ("bisection", BISECTION | {"position": 99}),
            ("bisection", BISECTION | {"good": 0}),
            ("bisection", BISECTION | {"bad": 99}),
            ("bisection", BISECTION | {"good": 0, "last_good": 0}),
            ("bisection", BISECTION | {"bad": 99, "first_bad": 99}),
            ("bisection", BISECTION | {"op_id": 9}),
            ("bisection", BISECTION | {"version_id": 9}),
            ("version", VERSION | {"removed_position": 99}),
            ("removal", REMOVAL | {"position": 99}),
            ("removal", REMOVAL | {"op_id": 9}),
            ("removal", REMOVAL | {"version_id": 9}),
            ("removal", REMOVAL | {"until": 99}),
            ("object_draft", {"upload": "v", "key": "z"}),
            ("object_draft", {"upload": "v", "key": "e", "size": 1, "tail_key": "z", "tail_size": 1}),
            ("object_part", PART | {"upload": "z"}),
            ("pipeline_op", {"pipeline_id": 9, "op_id": 2, "place": 3}),
            ("pipeline_op", {"pipeline_id": 1, "op_id": 9, "place": 3}),
            ("pipeline_edge", {"pipeline_id": 9, "upstream_id": 2, "downstream_id": 1}),
            ("pipeline_edge", {"pipeline_id": 1, "upstream_id": 9, "downstream_id": 1}),
            ("pipeline_edge", {"pipeline_id": 1, "upstream_id": 2, "downstream_id": 9}),
        )
    ],
]


@pytest.fixture
def connection() -> Iterator[Connection]:
    """Return a connection to a database with one good row of everything."""
    database = Database("sqlite:///:memory:")
    database.create_all()
    with database.write() as connection:
        for statement in GOOD:
            connection.exec_driver_sql(statement)
        yield connection
    database.close()


def insert(connection: Connection, table: str, row: dict[str, Any]) -> None:
    """Write the row."""
    places = ", ".join(f":{column}" for column in row)
    connection.exec_driver_sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", row)  # noqa: S608


@for_each(("constraint", "table", "row"), BAD)
def test_a_bad_row_is_refused_by_its_constraint(
    connection: Connection, constraint: str, table: str, row: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError) as refused:
        insert(connection, table, row)
    words = str(refused.value.orig)
    assert words.startswith(("CHECK", "UNIQUE", "FOREIGN KEY"))
    assert constraint in (words.partition(": ")[2], words.partition(" constraint")[0])


def test_the_good_rows_are_accepted(connection: Connection) -> None:
    insert(connection, "version", VERSION)
    insert(connection, "link", LINK | {"run_position": 20})
    insert(connection, "run", RUN)
    insert(connection, "run_version", RUN_VERSION)
    insert(connection, "bisection", BISECTION)
    insert(connection, "removal", REMOVAL)
    for row in ({"downstream_version_id": 2}, {"downstream_version_id": None, "until": 4}):
        link = LINK | {"upstream_id": 1, "upstream_version_id": 1, "downstream_id": 2, "position": 1} | row
        insert(connection, "link", link | {"position": 2 if "until" in row else 1})


def test_every_check_and_unique_constraint_has_its_bad_row() -> None:
    named = {constraint for constraint, _, _ in BAD}
    for table in Base.metadata.sorted_tables:
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                assert constraint.name in named
            elif isinstance(constraint, UniqueConstraint):
                assert ", ".join(f"{table.name}.{column.name}" for column in constraint.columns) in named
        for index in table.indexes:
            columns = ", ".join(f"{table.name}.{column.name}" for column in index.columns)
            assert not index.unique or {f"index '{index.name}'", columns} & named
        assert ", ".join(f"{table.name}.{column.name}" for column in table.primary_key.columns) in named or (
            [column.name for column in table.primary_key.columns] == ["id"]
        ), table.name


def test_every_foreign_key_has_its_bad_row() -> None:
    broken = {(table, column) for constraint, table, row in BAD if constraint == "FOREIGN KEY" for column in row}
    for table in Base.metadata.sorted_tables:
        for key in table.foreign_keys:
            assert (table.name, key.parent.name) in broken
