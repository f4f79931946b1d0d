"""`opstore import chariots`: the import of an old op store, with invalid entries, and repeated imports."""

import os
import shutil
from typing import Any

import pytest

from opstore_cli import Version
from tests.support.chariots_store import (
    FOREST,
    LOADER,
    PCA,
    PCA_3,
    PIPELINES_OF_THE_FIRST_RELEASES,
    OldStore,
    plain,
    subversions,
)
from tests.support.figures import few
from tests.support.machines import STARTED, Machine
from tests.support.wire import Wire

NEW = "loader@1.0.0\npca@1.0.0\nforest@1.0.0\nforest@1.0.1\npca@2.0.0\n"
NOTHING_NEW = "new: 0 versions, 0 links, 0 pipelines; unchanged: 5 versions\n"
INCOMPLETE = (
    "error: the import is incomplete: {} skipped, everything else was imported\n"
    "hint: repair them and run the command again: nothing is imported twice\n"
)


@pytest.fixture
def old(machine: Machine) -> OldStore:
    return plain(machine.folder / "old")


def run_import(machine: Machine, old: OldStore, *options: str, **more: Any) -> tuple[int, str, str]:
    return machine.run("import", "chariots", *old.options, *options, **more)


def skipped_entries(machine: Machine, old: OldStore, *options: str) -> list[tuple[str, str, str, str | None]]:
    """Run an import; return the skipped entries, and check that error and exit code report them."""
    code, document, error = machine.ask("import", "chariots", *old.options, *options)
    found = [(each["what"], each["name"], each["reason"], each["hint"]) for each in document["skipped"]]
    assert (code, None if error is None else error["details"]) == ((2, {"count": len(found)}) if found else (0, None))
    return found


def store_contents(machine: Machine) -> Any:
    """Return the contents of the store that do not depend on the run."""
    with machine.client() as client:
        versions = {
            op.name: [
                (version.version, version.subversions, version.sequence, version.digest, version.note)
                for version in client.versions(op.name).versions
            ]
            for op in client.ops()
        }
        links = {
            (link.upstream, link.upstream_version, link.downstream, link.state) for link in client.links(history=True)
        }
        return versions, links, [(pipeline.name, pipeline.edges) for pipeline in client.pipelines()]


def test_an_import_is_complete_and_idempotent(machine: Machine, old: OldStore) -> None:
    before = {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()}
    new = "new: 5 versions, 4 links, 1 pipeline; unchanged: 0 versions\n"
    assert run_import(machine, old) == (0, NEW, STARTED + new)
    with machine.client() as client:
        assert client.pull("pca") == b"3 components"
        assert client.pull("pca@1") == b"2 components"
        assert client.get_op_bytes_for_version("forest", subversions(*FOREST)) == b"50 trees"
        assert client.show("loader").digest is None
        assert client.show("pca@1").note == "2020-01-01 10:00:01.500000"
        assert client.show("pca@2").note == "2020-01-03 10:00:00"
        assert [version.note for version in client.versions("forest").versions] == [
            "2020-01-02 10:00:00",
            "2020-01-01 10:00:02.000001",
        ]
        assert client.get_validated_links("forest", "pca") == {
            Version.parse(subversions(*PCA)),
            Version.parse(subversions(*PCA_3)),
        }
        assert client.pipeline("train").edges == (("loader", "pca"), ("pca", "forest"))
        assert [op.name for op in client.ops()] == ["forest", "loader", "pca", "report"]
    with machine.client() as client:
        assert {op.compat for op in client.ops()} == {"major"}, "chariots compares major versions"
    held = store_contents(machine)
    assert run_import(machine, old) == (0, "", NOTHING_NEW)
    assert machine.ask("import", "chariots", *old.options) == (
        0,
        {"created": [], "unchanged": 5, "links": 0, "pipelines": [], "skipped": []},
        None,
    )
    assert store_contents(machine) == held
    assert {path: path.read_bytes() for path in old.folder.rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_the_next_run_imports_what_was_added_to_the_old_store(machine: Machine, old: OldStore) -> None:
    run_import(machine, old)
    newest = old.version("pca", ("4 components", "", ""), "2020-02-01 10:00:00", b"4 components")
    old.link("pca", newest, "forest")
    code, document, _ = machine.ask("import", "chariots", *old.options)
    assert code == 0
    assert document["created"] == [{"op": "pca", "version": "3.0.0"}]
    assert (document["links"], document["unchanged"]) == (1, 5)
    old.link("pca", newest, "report")
    assert run_import(machine, old)[2] == "new: 0 versions, 1 link, 0 pipelines; unchanged: 5 versions\n"
    assert machine.do("links", "report", "-q").splitlines() == ["pca@3.0.0 report@any", "forest@1.0.0 report@any"]


@pytest.mark.slow
def test_links_recorded_after_an_import_are_kept(machine: Machine, old: OldStore) -> None:
    run_import(machine, old)
    machine.do("link", "pca@1.0.0", "forest@any", "--invalid", "--evidence", "seen since")
    machine.do("unlink", "pca@2.0.0", "forest@any")
    held = store_contents(machine)
    assert run_import(machine, old) == (0, "", NOTHING_NEW)
    assert store_contents(machine) == held


@pytest.mark.parametrize("stop", [1000, *(pytest.param(stop, marks=pytest.mark.slow) for stop in (2500, 4000))])
@pytest.mark.slow
def test_a_daemon_that_dies_during_an_import_exits_7_and_the_next_run_completes_it(
    machine: Machine, other: Machine, old: OldStore, wire: Wire, stop: int
) -> None:
    wire.stop_up = stop
    with machine.begin("import", "chariots", *old.options, env=wire.settings) as process:
        assert wire.stopped.wait(60)
        machine.kill()
        wire.cut()
        out, err = process.communicate(timeout=120)
    assert process.returncode == 7, err
    assert b"no daemon answers" in err or b"was lost" in err
    machine.do("start")
    with machine.client() as client:
        there = sum(op.versions for op in client.ops())
    assert there < 5
    code, document, _ = machine.ask("import", "chariots", *old.options)
    assert code == 0
    assert 5 - there == len(document["created"])
    assert run_import(machine, old)[2] == NOTHING_NEW
    run_import(other, old)
    assert store_contents(machine) == store_contents(other)
    assert out.decode() == NEW[: len(out)]


# --- invalid entries --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_op_with_an_illegal_name_is_skipped_until_it_is_renamed(machine: Machine, old: OldStore) -> None:
    forest = old.version("RandomForest", FOREST, "2020-01-01 10:00:03", b"trees")
    old.version("RandomForest", PCA, "2020-01-01 10:00:04", b"other trees")
    old.version("été", PCA, "2020-01-01 10:00:04", b"summer")
    old.link("RandomForest", forest, "report")
    pca = old.version("pca", FOREST, "2020-01-05 10:00:00", b"pca")
    old.link("pca", pca, "RandomForest")
    old.pipeline("Predict It", ("pca", "RandomForest"), ("RandomForest", None))
    old.pipeline("other", ("pca", "RandomForest"), ("RandomForest", None))
    reason = "this is not a valid name; everything that belongs to it was skipped"
    refused = ("op", "RandomForest", reason, "--rename RandomForest=random_forest")
    summer = ("op", "été", reason, "--rename 'été=NAME'")
    asked = skipped_entries(machine, old)
    assert asked == [
        refused,
        summer,
        ("pipeline", "Predict It", reason, "--rename 'Predict It=predict_it'"),
        ("pipeline", "other", "one of its ops was skipped", None),
    ]
    assert machine.do("ops", "-q").splitlines() == ["forest", "loader", "pca", "report"]
    renamed = [str(hint) for *_, hint in asked[:1] + asked[2:3]]
    assert skipped_entries(
        machine, old, "--rename", "RandomForest=random_forest", "--rename", "Predict It=predict_it"
    ) == [summer]
    assert renamed == ["--rename RandomForest=random_forest", "--rename 'Predict It=predict_it'"]
    assert machine.do("links", "random_forest", "-q").splitlines() == [
        "pca@3.0.0 random_forest@any",
        "random_forest@1.0.0 report@any",
    ]
    assert machine.do("pipeline", "show", "predict_it", "-q").splitlines() == ["pca", "random_forest"]
    with machine.client() as client:
        assert client.pull("random_forest@1") == b"trees"


@pytest.mark.slow
def test_an_invalid_rename_is_refused(machine: Machine, old: OldStore) -> None:
    old.op("Pca")
    old.version("Pca", PCA, "2020-01-01 10:00:03")
    for option, said in (
        ("nobody=x", "--rename nobody=x: the old store has no op and no pipeline of that name"),
        ("Pca=pca", "--rename Pca=pca: 'pca' has that name too"),
        ("loader=pca", "--rename loader=pca: 'pca' has that name too"),
    ):
        assert run_import(machine, old, "--rename", option) == (2, "", f"error: {said}\n")
    code, out, err = run_import(machine, old, "--rename", "Pca=PCA")
    assert (code, out, "is not a name" in err) == (2, "", True)
    for wrong in ("pca", "=pca"):
        assert run_import(machine, old, "--rename", wrong)[0] == 2
    assert run_import(machine, old, "--rename", "a=b", "--rename", "a=c")[0] == 2
    assert not machine.home.exists(), "nothing was asked of a daemon"


@pytest.mark.slow
def test_invalid_versions_are_skipped(machine: Machine, old: OldStore) -> None:
    pca = old.op("pca")
    hashes = {"major_hash": "xyz", "minor_hash": "b" * 40, "patch_hash": "c" * 40}
    broken = old.insert("db_version", op_id=pca, version_time="2020-01-01 10:00:00", **hashes)
    old.insert("db_version", op_id=pca, version_time="2020-01-01 11:00:00", major_hash="a" * 40)
    stranger = old.insert("db_version", op_id=999, version_time="2020-01-01 10:00:00", **hashes)
    old.link("pca", broken, "forest")
    rule = "are not subversions: subversions are MAJOR.MINOR.PATCH, each 4 to 64 lower-case hex digits"
    text = f"xyz.{'b' * 40}.{'c' * 40}"
    assert skipped_entries(machine, old) == [
        ("version", str(stranger), "its op is unknown", None),
        ("version", f"pca@{text}", f"'{text}' {rule}", None),
        ("version", f"pca@{'a' * 40}.None.None", f"'{'a' * 40}..' {rule}", None),
    ]
    with machine.client() as client:
        assert client.op("pca").versions == 2


@pytest.mark.slow
def test_dangling_links_are_skipped(machine: Machine, old: OldStore) -> None:
    pca = old.version("pca", ("more", "", ""), "2020-02-01 10:00:00", b"more")
    wrong = [
        old.insert("db_validated_link", upstream_op_id=up, upstream_op_version_id=version, downstream_op_id=down)
        for up, version, down in (
            (old.op("pca"), 999, old.op("forest")),
            (old.op("loader"), pca, old.op("forest")),
            (old.op("pca"), pca, 999),
            (old.op("pca"), pca, None),
            (None, pca, old.op("forest")),
        )
    ]
    old.link("pca", pca, "pca")
    assert skipped_entries(machine, old) == [
        ("link", str(wrong[0]), "its upstream version is unknown", None),
        ("link", str(wrong[1]), "its upstream version belongs to another op", None),
        ("link", str(wrong[2]), "its downstream op is unknown", None),
        ("link", str(wrong[3]), "its downstream op is unknown", None),
        ("link", str(wrong[4]), "its upstream version belongs to another op", None),
        ("link", "pca -> pca", "an op can't be its own upstream", None),
    ]
    with machine.client() as client:
        assert client.pull("pca") == b"more"
        assert len(client.links()) == 4


@pytest.mark.slow
def test_missing_and_unknown_files_are_reported(machine: Machine, old: OldStore) -> None:
    gone = next(old.models.glob(f"forest/{subversions(*FOREST)}*"))
    gone.unlink()
    two = next(old.models.glob(f"pca/{subversions(*PCA)}_*"))
    two.rename(two.with_name(two.name + "0"))
    shutil.copy(two.with_name(two.name + "0"), two.with_name(two.name + "1"))
    old.file("pca/notes.txt", b"read me")
    old.file(f"nobody/{subversions(*PCA)}_2020-01-01 10:00:00", b"nobody's")
    old.file("top", b"top")
    said = skipped_entries(machine, old)
    unknown = "the old store's database has no version of it"
    assert said == [
        (
            "bytes",
            f"pca@{subversions(*PCA)}",
            "the old op store can't be read: 2 files match this version, and none has its time; "
            "the version was imported without them",
            None,
        ),
        (
            "bytes",
            f"forest@{subversions(*FOREST)}",
            "it has no file; the version was imported without them",
            None,
        ),
        ("file", f"models/nobody/{subversions(*PCA)}_2020-01-01 10:00:00", unknown, None),
        ("file", "models/pca/notes.txt", unknown, None),
        ("file", "models/top", unknown, None),
    ]
    assert skipped_entries(machine, old) == said
    with machine.client() as client:
        assert client.show("forest@1.0.0").digest is None
        assert client.get_validated_links("forest", "pca") is not None
    gone.write_bytes(b"50 trees")
    two.with_name(two.name + "1").unlink()
    _, document, _ = machine.ask("import", "chariots", *old.options)
    assert document["created"] == [{"op": "pca", "version": "1.0.0"}, {"op": "forest", "version": "1.0.0"}]
    with machine.client() as client:
        assert client.pull("forest@1.0.0") == b"50 trees"
        assert client.pull("pca@1.0.0") == b"2 components"


@pytest.mark.slow
def test_stored_bytes_are_not_replaced_by_different_ones(machine: Machine, old: OldStore) -> None:
    run_import(machine, old)
    file = next(old.models.glob(f"pca/{subversions(*PCA)}_*"))
    file.write_bytes(b"written over since")
    held = store_contents(machine)
    assert skipped_entries(machine, old) == [
        ("bytes", f"pca@{subversions(*PCA)}", "pca@1.0.0 has other bytes, which stay", None)
    ]
    assert store_contents(machine) == held


def test_a_pipe_in_place_of_a_file_is_reported_without_blocking(machine: Machine, old: OldStore) -> None:
    file = next(old.models.glob(f"pca/{subversions(*PCA)}_*"))
    file.unlink()
    os.mkfifo(file)
    ((what, name, reason, _),) = skipped_entries(machine, old)
    assert (what, name) == ("bytes", f"pca@{subversions(*PCA)}")
    assert reason.endswith(": it is not a regular file; the version was imported without them")


@pytest.mark.slow
def test_duplicate_rows_are_merged_and_invalid_times_count_as_the_oldest(machine: Machine, old: OldStore) -> None:
    again = old.insert("db_op", op_name="pca")
    major, minor, patch = subversions(*PCA).split(".")
    hashes = {"major_hash": major, "minor_hash": minor, "patch_hash": patch}
    twin = old.insert("db_version", op_id=again, version_time="2021-01-01 10:00:00", **hashes)
    old.insert(
        "db_validated_link", upstream_op_id=again, upstream_op_version_id=twin, downstream_op_id=old.op("loader")
    )
    for time, major in ((None, "a" * 40), ("yesterday", "b" * 40)):
        old.insert("db_version", op_id=old.op("loader"), version_time=time, **{**hashes, "major_hash": major})
    assert skipped_entries(machine, old) == []
    with machine.client() as client:
        assert [version.note for version in client.versions("loader").versions] == ["2020-01-01 10:00:00", None, None]
        assert client.versions("loader").versions[0].subversions == subversions(*LOADER)
        assert client.op("pca").versions == 2
        assert client.get_validated_links("loader", "pca") == {Version.parse(subversions(*PCA))}


@pytest.mark.slow
def test_pipelines_without_recorded_ops_are_reported(machine: Machine) -> None:
    old = OldStore(machine.folder / "old", PIPELINES_OF_THE_FIRST_RELEASES)
    old.version("pca", PCA, "2020-01-01 10:00:00", b"2 components")
    old.insert("db_pipeline", pipeline_name="train", last_op_id=old.op("pca"))
    old.insert("db_pipeline", last_op_id=old.op("pca"))
    assert skipped_entries(machine, old) == [
        ("pipeline", "train", "the old store did not record its ops", None),
        ("pipeline", "2", "it has no name", None),
    ]
    assert machine.do("ops", "-q") == "pca"


@pytest.mark.slow
def test_invalid_pipelines_are_reported(machine: Machine, old: OldStore) -> None:
    machine.do("pipeline", "register", "train", "loader", "forest")
    old.pipeline("round", ("pca", "forest"), ("forest", "pca"))
    old.pipeline("twice", ("pca", "pca"))
    old.pipeline("empty")
    old.insert("db_pipeline_link", pipeline_id=old.insert("db_pipeline", pipeline_name="lost"), upstream_op_id=999)
    assert [(what, name, reason) for what, name, reason, _ in skipped_entries(machine, old)] == [
        ("pipeline", "train", "the pipeline train is registered already, with another graph"),
        ("pipeline", "round", "invalid pipeline: its edges form a cycle: pca -> forest -> pca"),
        ("pipeline", "twice", "invalid pipeline: pca can't be its own upstream"),
        ("pipeline", "empty", "the old store did not record its ops"),
        ("pipeline", "lost", "one of its ops is unknown"),
    ]


@pytest.mark.parametrize(
    ("db", "said"),
    few(
        2,
        [
            ("sqlite:///nowhere.sqlite", "--db: file nowhere.sqlite does not exist"),
            ("sqlite://", "--db: file . does not exist"),
            ("sqlite:///text", "--db: file is not a database"),
            ("sqlite:///empty", "--db: not a chariots op store: table db_op is missing"),
            ("mysql://ann:secret@db/old", "--db: No module named 'MySQLdb'"),
            ("nonsense", "--db: Could not parse SQLAlchemy URL from given URL string"),
            ("what://db", "--db: Can't load plugin: sqlalchemy.dialects:what"),
        ],
    ),
)
def test_a_database_other_than_one_of_chariots_is_refused(machine: Machine, old: OldStore, db: str, said: str) -> None:
    machine.file("text", "no database " * 1000)
    machine.file("empty", "")
    before = machine.listing()
    words = ["import", "chariots", "--db", db, "--files", str(old.folder / "ops")]
    machine.real = "secret" in db  # the daemon's program executes itself again to hide a password, unless it is forked
    assert machine.run(*words) == (2, "", f"error: {said}\n")
    assert machine.listing() == before
    assert not machine.home.exists(), "nothing was asked of a daemon"


def test_a_folder_without_models_is_refused(machine: Machine, old: OldStore) -> None:
    words = ["import", "chariots", *old.options[:2], "--files", str(old.models)]
    code, _, err = machine.run(*words)
    assert (code, ": it has no folder models, where an op store keeps bytes" in err) == (2, True)


def test_an_op_name_cannot_escape_the_folder(machine: Machine, old: OldStore) -> None:
    outside = f"../../outside/{subversions(*PCA)}_2020-01-01 10:00:00"
    old.file(outside, b"not to be read")
    assert (old.folder / "outside").is_dir()
    old.version("../../outside", PCA, "2020-01-01 10:00:00")
    old.version("a/b", PCA, "2020-01-01 10:00:00", b"a folder below")
    renames = ["--rename", "../../outside=outside", "--rename", "a/b=a.b"]
    assert skipped_entries(machine, old, *renames) == []
    with machine.client() as client:
        assert client.show("outside").digest is None
        assert client.pull("a.b") == b"a folder below"


@pytest.mark.slow
def test_skipped_entries_are_reported_on_stderr_with_hints(machine: Machine) -> None:
    old = OldStore(machine.folder / "old")
    old.version("pca", PCA, "2020-01-01 10:00:00", b"2 components")
    old.version("R\x1b[31mF", PCA, "2020-01-01 10:00:00", b"trees")
    old.file("top", b"")
    reason = "this is not a valid name; everything that belongs to it was skipped"
    said = (
        f"warning: skipped op R\\x1b[31mF: {reason}: --rename 'R\\x1b[31mF=NAME'\n"
        "warning: skipped file models/top: the old store's database has no version of it\n"
        "new: 1 version, 0 links, 0 pipelines; unchanged: 0 versions\n"
    )
    assert run_import(machine, old) == (2, "pca@1.0.0\n", STARTED + said + INCOMPLETE.format(2))
    assert run_import(machine, old, "-q") == (2, "", "".join(said.splitlines(True)[:2]) + INCOMPLETE.format(2))
