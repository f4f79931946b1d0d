"""The number of statements of a request depends on blocks of rows, never on rows."""

import itertools
import os
import re
import stat
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.savers import posix
from opstore_daemon.store.catalog import ops
from opstore_daemon.store.catalog.version_rows import BLOCK
from opstore_daemon.store.idempotency import IdempotentRequest
from tests.support.figures import few
from tests.support.statements import counted

pytestmark = pytest.mark.local  # the statements that SQLite executes


def fill(server: OpStoreServer, op: str, count: int, *, stored: bool = False) -> None:
    """Register or store so many versions of an op in one transaction."""
    with server.db.write() as connection:
        connection.execute(
            text("INSERT INTO op (name, last_sequence) VALUES (:op, :count)"), {"op": op, "count": count}
        )
        begin = connection.execute(text("SELECT position FROM counter")).scalar_one()
        rows = [
            {"op": op, "n": n, "patch": f"{n:04x}", "patch_number": n - 1, "at": begin + n} for n in range(1, count + 1)
        ]
        connection.execute(
            text(
                "INSERT INTO journal (position, at, kind, op_id)"
                " SELECT CAST(:at AS bigint), 0, 'version', id FROM op WHERE name = :op"
            ),
            rows,
        )
        connection.execute(
            text(
                "INSERT INTO version (op_id, sequence, major, minor, patch, major_number, minor_number, patch_number,"
                " position, registered_at, digest, size, stored_position)"
                " SELECT id, CAST(:n AS bigint), 'aaaa', 'aaaa', :patch, 1, 0, CAST(:patch_number AS bigint),"
                " CAST(:at AS bigint), 0, CAST(:digest AS text), CAST(:size AS bigint), CAST(:stored_at AS bigint)"
                " FROM op WHERE name = :op"
            ),
            [
                {
                    **row,
                    "digest": "sha256:x" if stored else None,
                    "size": 1 if stored else None,
                    "stored_at": row["at"] if stored else None,
                }
                for row in rows
            ],
        )
        connection.execute(text("UPDATE counter SET position = position + :count"), {"count": count})


def bookkeeping(number: int) -> dict[str, Any]:
    """Return what else a push may record."""
    return {
        "labels": {f"k{n}": "v" for n in range(number)},
        "tags": [f"t{n}" for n in range(number)],
        "valid_for": [f"down{n}@any" for n in range(number)],
    }


def test_a_small_push_takes_seven_statements_in_one_transaction(memory: OpStoreServer) -> None:
    """The op, its newest version, the assigned numbers, the position, its entry, the sequence, the version."""
    memory.store.push("pca", b"first")
    with counted(memory, begins=True) as statements:
        memory.store.push("pca", b"second")
    assert len(statements) == 1 + 7, statements
    memory.store.idempotent(IdempotentRequest("me", "first", "request")).push(
        "pca", b"third"
    )  # counts the owner's keys
    with counted(memory, begins=True) as statements:
        memory.store.idempotent(IdempotentRequest("me", "key", "request")).push("pca", b"fourth")
    assert len(statements) == 1 + 7 + 2, "the earlier result of the key with the time of the oldest, and the new result"


def test_the_first_push_of_an_op_takes_two_statements_more(memory: OpStoreServer) -> None:
    with counted(memory) as statements:
        memory.store.push("pca", b"first")
    assert len(statements) == 7 + 2, "the op is created, and has neither a stored nor a registered version"


@pytest.mark.parametrize("number", [1, 3])
def test_labels_links_and_tags_of_a_push_take_further_statements(memory: OpStoreServer, number: int) -> None:
    memory.store.register_pipeline("wide", ["pca", *(f"down{n}" for n in range(number))])
    memory.store.push("pca", b"first", **bookkeeping(number))
    with counted(memory) as statements:
        pushed = memory.store.push("pca", b"second", **bookkeeping(number))
    assert len(statements) <= 7 + 3 + 2 + 12 * number
    told = msgspec.structs.asdict(pushed)
    assert {name: told[name] for name in VersionRecord.__struct_fields__} == msgspec.structs.asdict(
        memory.store.show("pca")
    )


@pytest.mark.parametrize("folder", ["new", "old"])
def test_a_small_push_syncs_as_often_as_durability_needs(
    files: OpStoreServer, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    """The order: the bytes, the parent of a new folder, the folder with their name, then the commit."""
    seen: list[str] = []
    if folder == "old":
        files.store.push("pca", data_in_folder(1))
    sync = posix.sync

    def noted(fd: int) -> None:
        seen.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        sync(fd)

    commit = files.db.engine.dialect.do_commit

    def committed(connection: Any) -> None:
        seen.append("commit")
        commit(connection)

    monkeypatch.setattr(posix, "sync", noted)
    monkeypatch.setattr(files.db.engine.dialect, "do_commit", committed)
    files.store.push("pca", data_in_folder(2))
    assert seen == ["file", *(["folder"] if folder == "new" else []), "folder", "commit"]


def data_in_folder(number: int) -> bytes:
    """Return the first, second, … bytes whose digest begins with 00."""
    found = (data for n in itertools.count() if digest_of(data := b"%d" % n).startswith("sha256:00"))
    return next(itertools.islice(found, number - 1, None))


def test_expired_uploads_are_looked_for_once_an_hour(memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []
    now = [4 * 10**15]
    expire = memory.store.uploads.expire
    monkeypatch.setattr(memory.store.uploads, "expire", lambda: looked.append(now[0]) or expire())  # type: ignore[func-returns-value]
    monkeypatch.setattr(memory.store.uploads, "_now", lambda: now[0])
    for minute in (0, 1, 59, 61, 62, 120, 123):
        now[0] = 4 * 10**15 + minute * 60_000_000
        memory.store.uploads.create("me", None)
    assert [(at - 4 * 10**15) // 60_000_000 for at in looked] == [0, 61, 123]


def test_the_statements_of_a_selection_depend_on_the_blocks_it_reads(memory: OpStoreServer) -> None:
    for op, blocks in (("small", 2), ("large", 4)):
        fill(memory, op, blocks * BLOCK, stored=True)
        memory.store.set_op(op, compat="minor")
        memory.store.register_pipeline(op, [op, f"{op}_down"])
        memory.store.link(f"{op}@1.0.0", f"{op}_down@any", valid=False)
    counts = {}
    for op in ("small", "large"):
        with counted(memory) as statements:
            memory.store.versions(op, valid_for=[f"{op}_down"])
        counts[op] = len(statements)
    assert counts["large"] - counts["small"] == (4 - 2) * 2, "a block of rows, and a query for its links"
    assert counts["small"] <= 2 * 2 + 14


def test_the_statements_of_a_pipeline_grow_by_few_for_each_op(memory: OpStoreServer) -> None:
    counts: dict[str, list[int]] = {"resolve": [], "validate": []}
    for name, count in (("few", 3), ("more", 8)):
        ops = [f"{name}{place}" for place in range(count)]
        for op in ops:
            fill(memory, op, 20, stored=True)
            memory.store.set_op(op, compat="exact")
        memory.store.register_pipeline(name, ops)
        for up, down in pairwise(ops):
            memory.store.link(f"{up}@1.0.0", f"{down}@1.0.0")  # so that 19 versions are passed over
        for verb, ask in (("resolve", memory.store.resolve), ("validate", memory.store.validate_pipeline)):
            with counted(memory) as statements:
                assert ask(name).verdict == ("valid" if verb == "resolve" else "invalid")
            counts[verb].append(len(statements))
    assert counts["resolve"][1] - counts["resolve"][0] == 5 * 6, "4 for an op, 2 for an edge"
    assert counts["validate"][1] - counts["validate"][0] == 5 * 2, "the latest version of each op, the links of an edge"


def test_the_ops_of_a_pipeline_are_looked_up_with_a_limited_number_of_parameters(
    memory: OpStoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops, "NAMES", 2)
    names = [f"op{place}" for place in range(5)]
    memory.store.register_pipeline("pipe", names)
    with counted(memory) as statements:
        assert memory.store.validate_pipeline("pipe").verdict == "unknown"
    lookups = [each for each in statements if "op.name IN" in each]
    assert [each.partition("op.name IN")[2].count("?") for each in lookups] == [2, 2, 1]


def test_a_selection_reads_no_further_than_its_limit(memory: OpStoreServer) -> None:
    fill(memory, "pca", 10 * BLOCK, stored=True)
    memory.store.register_pipeline("churn", ["pca", "forest"])
    memory.store.link("pca", "forest@any")
    with counted(memory) as statements:
        assert len(memory.store.versions("pca", valid_for=["forest"], limit=1).versions) == 1
    assert len(statements) <= 12


@pytest.mark.parametrize("count", [1, 60])
def test_tagging_a_version_reads_only_its_own_tag(memory: OpStoreServer, count: int) -> None:
    names = [f"op{n}" for n in range(count)]
    for name in names:
        memory.store.push(name, b"bytes", tags=["other", "another"])
    with counted(memory) as statements:
        assert [record.op for record in memory.store.tag(names[::-1], "live")] == names[::-1]
    told = [each for each in statements if each.startswith("SELECT") and "JOIN journal" in each]
    assert len(told) == 1
    assert "tag.name = ?" in told[0]


@pytest.mark.parametrize("count", [1, 60])
def test_all_ops_take_one_statement(memory: OpStoreServer, count: int) -> None:
    for n in range(count):
        memory.store.register(f"op{n:03}", subversions="aaaa.aaaa.aaaa")
    with counted(memory) as statements:
        assert len(memory.store.ops()) == count
    assert len(statements) == 1


@pytest.mark.parametrize("count", [1, 60])
def test_all_links_take_one_statement(memory: OpStoreServer, count: int) -> None:
    memory.store.register("pca", subversions="aaaa.aaaa.aaaa")
    memory.store.register_pipeline("wide", ["pca", *(f"down{n}" for n in range(count))])
    for n in range(count):
        memory.store.link("pca", f"down{n}@any")
    with counted(memory) as statements:
        assert len(memory.store.links()) == count
    assert len(statements) == 1


@pytest.mark.parametrize("history", few(1, [False, True]))
@pytest.mark.parametrize(
    "asked",
    [{"op": "forest"}, {"upstream": "pca"}, {"downstream": "forest"}, {"upstream": "pca", "downstream": "forest"}],
    ids=", ".join,
)
def test_links_of_ops_are_found_by_an_index_in_one_statement_and_one_for_each_op(
    memory: OpStoreServer, asked: dict[str, str], history: bool
) -> None:
    fill(memory, "pca", 60, stored=True)
    memory.store.register_pipeline("churn", ["pca", "forest"])
    for n in range(60):
        memory.store.link(f"pca@1.0.{n}", "forest@any")
    with counted(memory) as statements:
        assert len(memory.store.links(**asked, history=history)) == 60  # type: ignore[arg-type]
    assert len(statements) == 1 + len(asked)
    with memory.db.read() as connection:
        values = (None,) * statements[-1].count("?")
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[-1]}", values).all()
    steps = [str(row[3]) for row in plan]
    assert any(re.match("SEARCH link USING (COVERING )?INDEX", step) for step in steps), steps
    assert not any(step.startswith("SCAN link") for step in steps), steps


@pytest.mark.parametrize("others", [1, 60])
def test_the_statements_of_a_patch_do_not_depend_on_links_of_other_versions(memory: OpStoreServer, others: int) -> None:
    fill(memory, "pca", others, stored=True)
    memory.store.register_pipeline("churn", ["pca", "forest", "boost"])
    for n in range(others):
        memory.store.link(f"pca@1.0.{n}", "forest@any")
    memory.store.link("pca@1.0.0", "boost@any")
    with counted(memory) as statements:
        pushed = memory.store.push("pca", b"other", subversions="aaaa.aaaa.0001", otherwise="patch")
    assert len(memory.store.links(upstream="pca")) == others + 3
    assert pushed.version == f"1.0.{others}"
    assert len(statements) <= 30


@pytest.mark.parametrize("count", [3, 60])
def test_the_statements_of_a_verdict_do_not_depend_on_the_number_of_links(memory: OpStoreServer, count: int) -> None:
    fill(memory, "pca", count, stored=True)
    memory.store.register("forest", subversions="aaaa.aaaa.aaaa")
    for n in range(count):
        memory.store.link(f"pca@1.0.{n}", "forest@any")
    with counted(memory) as statements:
        assert memory.store.validate("pca", "forest").verdict == "valid"
    assert len(statements) <= 10


@pytest.mark.slow
def test_the_parameters_of_a_statement_do_not_grow_with_the_versions(memory: OpStoreServer) -> None:
    fill(memory, "pca", 20 * BLOCK)
    memory.store.register("pca", subversions="aaaa.aaaa.0001", labels={"k": "v"})
    with counted(memory) as statements:
        found = memory.store.versions("pca").versions
    assert len(found) == 20 * BLOCK
    assert (found[-1].labels, found[0].labels) == ({"k": "v"}, {})
    assert max(statement.count("?") for statement in statements) <= BLOCK + 10
