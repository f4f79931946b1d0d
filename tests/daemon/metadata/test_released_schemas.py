"""Databases of all released schemas, with rows of each kind, are upgraded to the current one and lose nothing.

The files in released/ are dumps of databases that the releases themselves made (tools/released_schema.py): what they
hold is the story there, and what the store has to say about it is here.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.metadata import Database, migrate
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.store.store import Store
from tests.support.figures import few
from tests.support.new_version import new_version
from tests.support.released import BYTES, Released, rows
from tests.support.schema import HEAD, described
from tools.released_schema import FOLDER, START, UPLOADED, dump

TIMES = {"at", "created_at", "registered_at", "touched_at"}
SCHEMAS = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.fixture(scope="module", params=few(2, SCHEMAS))
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Released:
    return Released(tmp_path_factory.mktemp("released"), request.param)


@pytest.fixture(scope="module")
def server(released: Released) -> Iterator[OpStoreServer]:
    """The upgraded store, which only the last test of a schema writes to."""
    with closing(released.open()) as opened:
        yield opened


def test_each_schema_has_a_database_of_its_release() -> None:
    """After a new migration, `python -m tools.released_schema` writes the file."""
    assert migrate.known_revisions() == SCHEMAS


def test_the_file_of_this_schema_is_what_this_release_makes(tmp_path: Path) -> None:
    """Apart from ids and times: entries of one moment differ by microseconds."""

    def comparable(path: Path) -> dict[str, Any]:
        found = rows(path)
        for row in found["store"] + found["upload"]:
            del row["id"]
        for row in found["store"]:
            del row["release"]
        for each in found.values():
            for row in each:
                for time in TIMES & row.keys():
                    del row[time]
        return {name: sorted(map(str, each)) for name, each in found.items()}

    schema, text = dump(tmp_path / "new")
    for name, script in (("made", text), ("kept", (FOLDER / f"{HEAD}.sql").read_text())):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.executescript(script)
    assert schema == HEAD
    assert comparable(tmp_path / "kept") == comparable(tmp_path / "made")


def test_an_upgrade_keeps_every_value_of_every_row(released: Released, server: OpStoreServer) -> None:
    after = rows(released.path)
    for name, before in released.before.items():
        for old, new in zip(before, after[name], strict=True):
            assert {**old, **changed(name, old)} == {column: new[column] for column in old}, name
    assert {row["created_compat"] for row in after["op"]} == {"exact" if released.has("0007") else "major"}


def changed(table: str, old: dict[str, Any]) -> dict[str, Any]:
    """Return what an upgrade changes in a row: its schema, and the tags that are selectors now."""
    if table == "alembic_version":
        return {"version_num": HEAD}
    if table == "tag" and old["name"] == "any":
        return {"name": "any-tag"}
    return {}


def test_an_upgraded_database_is_sound_and_has_the_tables_of_a_new_one(server: OpStoreServer, tmp_path: Path) -> None:
    with server.db.read() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalars().all() == ["ok"]
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    with closing(Database(f"sqlite:///{tmp_path / 'new.db'}")) as new:
        new.create_all()
        assert described(server.db) == described(new)


def test_the_backup_is_the_database_as_it_was(released: Released, server: OpStoreServer) -> None:
    name = f"opstore.db.before-{HEAD}-at-{released.schema}"
    backups = sorted(path.name for path in released.path.parent.glob("*before*"))
    if released.schema == HEAD:
        assert (server.backup, backups) == (None, [])
        return
    assert server.backup == released.path.with_name(name)
    assert backups == [name]
    assert rows(server.backup) == released.before


def test_every_version_has_its_record_and_its_bytes(released: Released, server: OpStoreServer) -> None:
    store = server.store
    edited = released.has("0006")
    first, second = store.show("pca@1.0.0"), store.show("pca@1.1.0")
    assert (first.sequence, first.size, first.labels) == (1, 7, {"by": "ann"} if edited else {"data": "january"})
    assert first.message == ("the first of January" if edited else "the first")
    assert first.registered_at == START + timedelta(hours=1)
    assert (first.tags, second.tags, second.sequence) == ((), ("prod",), 2)
    assert (first.yanked, second.yanked, second.yank_reason) == (False, True, "drifts")
    knn = store.show("knn")
    assert (knn.version, knn.digest, knn.size) == ("1.0.0", None, None)
    forest = store.show("forest")
    assert forest.version == ("1.0.1" if released.has("0008") else "1.0.0")
    assert forest.tags == (() if released.has("0007") else ("any-tag",))
    if released.has("0008"):
        assert (forest.filename, forest.executable, forest.labels) == ("forest.joblib", True, {"kind": "script"})
    stored = [version for op in ("pca", "forest") for version in store.versions(op).versions]
    assert len(stored) == (4 if released.has("0008") else 3)
    for version in stored:
        reference = f"{version.op}@{version.version}"
        assert version.digest == digest_of(BYTES[reference])
        assert store.pull(reference) == BYTES[reference]


def test_ops_tags_and_pipelines_are_as_they_were(released: Released, server: OpStoreServer) -> None:
    store, level = server.store, "exact" if released.has("0007") else "major"
    assert [(op.name, op.compat, op.versions) for op in store.ops()] == [
        ("forest", level, 2 if released.has("0008") else 1),
        ("knn", level, 1),
        ("pca", "minor", 2),
    ]
    assert store.op("pca").description == ("Reduces the features" if released.has("0006") else None)
    moves = [(tag.tag, tag.version) for tag in store.tags("pca", history=True)]
    assert moves == [("candidate", None), ("prod", "1.1.0"), ("prod", "1.0.0"), ("candidate", "1.1.0")]
    (pipeline,) = store.pipelines()
    assert (pipeline.name, pipeline.ops, pipeline.edges) == ("churn", ("pca", "forest"), (("pca", "forest"),))


def test_links_and_verdicts_are_as_they_were_now_and_then(released: Released, server: OpStoreServer) -> None:
    store = server.store
    links = {
        (link.upstream, link.upstream_version, link.downstream, link.downstream_version, link.valid)
        for link in store.links()
    }
    assert links == {
        ("pca", "1.0.0", "forest", "1.0.0", True),
        ("knn", "1.0.0", "forest", None, True),
        ("pca", "1.1.0", "forest", None, False),
    }
    assert store.links("knn")[0].evidence == "notebook 7"
    for up, down, as_of, expected in (
        ("pca@1.0.0", "forest@1.0.0", None, ("valid", "link")),
        ("pca@1.1.0", "forest@1.0.0", None, ("invalid", "known-invalid")),
        ("pca@1.1.0", "forest@1.0.0", "2026-01-01T02:30:00Z", ("valid", "link")),
        ("knn", "forest", None, ("valid", "link")),
        ("knn", "pca", None, ("unknown", "no-links")),
        ("knn", "pca", "2026-01-01T02:30:00Z", ("unknown", "no-links")),
    ):
        (edge,) = store.validate(up, down, as_of=as_of).edges
        assert (edge.verdict, edge.basis) == expected, (up, down, as_of)
    assert not store.show("pca@1.1.0", as_of="2026-01-01T04:30:00Z").yanked


def test_the_journal_has_every_entry_with_its_author(released: Released, server: OpStoreServer) -> None:
    entries = server.store.log()
    assert [entry.position for entry in entries] == list(range(len(released.before["journal"]), 0, -1))
    assert {entry.author for entry in entries} == {"ann@laptop" if released.has("0009") else None}
    assert [entry.position for entry in server.store.log("knn")]


def test_runs_and_bisections_are_as_they_were(released: Released, server: OpStoreServer) -> None:
    runs = [(run.result, run.exit_code, server.store.run_output(run.position)) for run in server.store.runs()]
    if not released.has("0010"):
        assert runs == []
        return
    assert runs == [("failed", 1, "exit code 1\n"), ("passed", 0, "exit code 0\n")]
    (bisection,) = server.store.bisections()
    assert bisection.culprit.position == server.store.show("pca@1.1.0").position
    assert server.store.links("pca", history=True)[0].run == server.store.runs()[1].position


def test_an_upgraded_store_continues_numbers_uploads_and_links(released: Released, server: OpStoreServer) -> None:
    store: Store = server.store
    assert store.uploads.claim(released.upload, "local").offset == len(UPLOADED)
    writer = store.uploads.writer(released.upload, "local", len(UPLOADED), None)
    writer.append(b" all")
    writer.close()
    pushed = store.add_version("pca", new_version(upload=released.upload, digest=digest_of(b"half all")), "local")
    assert (pushed.version, pushed.sequence) == ("1.1.1", 3)
    assert pushed.position == len(released.before["journal"]) + 1
    assert store.push("pca", b"pca one", tags=["prod"]).created
    assert store.link("pca@1.1.1", "forest").downstream_version == store.show("forest").version


@pytest.mark.parametrize("stored", [False, True], ids=["nothing stored since", "a version stored since"])
def test_the_backup_takes_the_place_of_the_database_as_recovery_says(tmp_path: Path, stored: bool) -> None:
    released = Released(tmp_path, "0010")
    with closing(released.open()) as upgraded:
        assert upgraded.backup is not None
        if stored:
            upgraded.store.push("pca", b"pca three")
    upgraded.backup.rename(released.path)
    if stored:
        with pytest.raises(errors.DatabaseDamaged, match="an older copy"):
            released.open()
        (tmp_path / "opstore.db.lock").unlink()
        (tmp_path / "blobs" / "position").unlink()
    assert rows(released.path) == released.before, "a release of that schema finds what it left"
    with closing(released.open()) as again:
        assert again.store.show("pca@1.1.0").tags == ("prod",)
        assert [version.version for version in again.store.versions("pca").versions] == ["1.1.0", "1.0.0"]
