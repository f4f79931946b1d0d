"""Every document has the keys that json.md promises."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import shell
from tests.support.chariots_store import plain
from tests.support.markdown import ROOT, read

DOCUMENT = read(ROOT / "docs/json.md")


def promised(row: str) -> set[str]:
    """Return the keys in the row whose first cell begins with `first`."""
    (line,) = re.findall(rf"^\| ((?:.*, )?{re.escape(row)}(?:,.*|:.*)?) \| (.*) \|$", DOCUMENT, re.MULTILINE)
    keys = set(re.findall(r"`(\w+)`", line[1]))
    if "a version" in line[1]:
        keys |= promised("a version")
    return keys | promised("an element of `links`") if "a link" in line[1] else keys


class Program:
    """`opstore` with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told = shell.environment(folder)

    def __call__(self, *words: str, code: int = 0, stdin: str = "") -> Any:
        """Run the command and return its document."""
        done = self.run(*words, "--json", stdin=stdin)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout)

    def run(self, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return shell.opstore(self.told, self.folder, *words, stdin=stdin)


@pytest.fixture
def opstore(tmp_path: Path) -> Iterator[Program]:
    program = Program(tmp_path)
    yield program
    program.run("stop")


def has(document: dict[str, Any], row: str) -> bool:
    keys = promised(row)
    assert keys, row
    assert keys <= set(document), f"{row}: {keys - set(document)} missing"
    return True


def test_every_command_has_the_promised_keys(opstore: Program) -> None:
    (opstore.folder / "a.bin").write_bytes(b"a")
    pushed = opstore("push", "pca", "a.bin")
    assert has(pushed, "`push`")
    assert pushed["created"] is True
    assert opstore("push", "pca", "a.bin")["created"] is False
    opstore("push", "forest", "a.bin", "--valid-with", "pca")
    registered = opstore("register", "tokenizer", "--field", "major:a=b")
    assert has(registered, "`register`")
    assert (registered["digest"], registered["size"]) == (None, None)
    assert (registered["tags"], registered["yanked"]) == ([], False)
    assert has(opstore("show", "pca"), "`show`")
    versions = opstore("versions", "pca")
    assert has(versions, "`versions` of one op")
    several = opstore("versions", "pca", "forest", "--label", "a")
    assert has(several, "`versions` of several ops")
    assert [each["op"] for each in several["ops"] if has(each, "`versions` of one op")] == ["pca", "forest"]
    assert has(opstore("edit", "pca", "--label", "a=b"), "`edit`")
    assert has(opstore("op", "set", "pca", "--description", "text"), "an element of `ops` of `ops`")
    difference = opstore("diff", "pca", "forest")
    assert has(difference, "`diff`")
    assert has(difference["fields"][0], "an element of `fields` of `diff`")
    log = opstore("log", "pca")
    assert has(log, "`log`")
    assert all(has(entry, "an element of `entries`") for entry in log["entries"])
    assert has(log["entries"][0]["versions"][0], "an element of `versions` of an entry")
    assert has(versions["versions"][0], "a version")
    ops = opstore("ops")
    assert has(ops, "`ops`")
    assert has(ops["ops"][0], "an element of `ops` of `ops`")
    assert has(opstore("link", "pca@1.0.0", "forest@any"), "`link`")
    links = opstore("links")
    assert has(links, "`links`")
    assert all(has(link, "an element of `links`") for link in links["links"])
    assert links["links"][0]["downstream_version"] is None
    assert has(opstore("unlink", "pca@1.0.0", "forest@any"), "`unlink`")
    validation = opstore("validate", "pca", "forest")
    assert has(validation, "`validate`")
    (edge,) = validation["edges"]
    assert has(edge, "an element of `edges` of `validate`")
    for end in ("upstream", "downstream"):
        assert has(edge[end], "`upstream` and `downstream` of an edge")
    assert has(opstore("pull", "pca", "-o", "pulled.bin"), "`pull`")
    several = opstore("pull", "pca", "forest", "-d", "out")
    assert has(several, "`pull -d`")
    assert all(has(each, "an element of `pulled`") for each in several["pulled"])
    several = opstore("push", "--all", "out")
    assert has(several, "`push --all`")
    assert [each["op"] for each in several["pushed"] if has(each, "an element of `pushed`")] == ["forest", "pca"]
    old = plain(opstore.folder / "old")
    old.file("nobody", b"nobody's")
    taken = opstore("import", "chariots", *old.options, code=2)
    assert has(taken, "`import chariots`")
    assert has(taken["created"][0], "an element of `created`")
    assert has(taken["skipped"][0], "an element of `skipped` of `import chariots`")
    assert has(opstore("status"), "`status`")
    doctor = opstore("doctor")
    assert has(doctor, "`doctor`")
    assert all(has(finding, "an element of `findings` of `doctor`") for finding in doctor["findings"])
    token = opstore("token")
    assert has(token, "`token`")
    shown = opstore("config", "show")
    assert has(shown, "`config show`")
    assert has(shown["daemon"], "`daemon`")
    assert all(has(each, "an element of `settings`") for each in shown["settings"])
    assert has(opstore("config", "unset", "url"), "`config set`")
    assert has(opstore("fsck"), "`fsck`")
    assert has(opstore("logs"), "`logs`")
    assert has(opstore("help"), "`help`")
    assert has(opstore("login", token["url"], stdin=token["token"]), "`login`")
    assert has(opstore("logout", token["url"]), "`logout`")


@pytest.mark.slow
def test_backups_have_the_promised_keys(opstore: Program) -> None:
    (opstore.folder / "a.bin").write_bytes(b"a")
    digest = opstore("push", "pca", "a.bin")["digest"].removeprefix("sha256:")
    opstore("stop")
    assert has(opstore("backup", "saved"), "`backup`")
    (opstore.folder / "saved" / "blobs" / digest[:2] / digest).unlink()
    checked = opstore("backup", "--check", "saved", code=6)
    assert has(checked, "`backup --check`")
    opstore.told["OPSTORE_HOME"] = str(opstore.folder / "other")
    restored = opstore("restore", "--partial", "saved")
    assert has(restored, "`restore`")
    for problem in (*checked["problems"], *restored["missing"]):
        assert has(problem, "an element of `missing` of `backup`, `restore` and `migrate`")
    opstore("stop")
    to_saver = ["--to-saver", (opstore.folder / "moved").as_uri()]
    assert has(opstore("migrate", "--dry-run", *to_saver), "`migrate --dry-run`")
    moved = opstore("migrate", *to_saver, code=6)
    assert has(moved, "`migrate`")
    assert has(moved["missing"][0], "an element of `missing` of `backup`, `restore` and `migrate`")


@pytest.mark.slow
def test_tags_yanks_and_resolutions_have_the_promised_keys(opstore: Program) -> None:
    (opstore.folder / "a.bin").write_bytes(b"a")
    opstore("push", "pca", "a.bin", "--tag", "stable")
    opstore("push", "forest", "a.bin", "--valid-with", "pca")
    opstore("pipeline", "register", "iris", "pca", "forest")
    resolved = opstore("resolve", "iris", "--lock", "opstore.lock")
    assert has(resolved, "`resolve`")
    assert (resolved["verdict"], resolved["edges"], resolved["conflict"]) == ("valid", [["pca", "forest"]], [])
    assert all(has(version, "a version") for version in resolved["versions"])
    verified = opstore("--json", "verify", "iris", "--run", "true")
    assert has(verified, "`verify`")
    assert has(verified["run"], "an element of `runs`")
    assert has(verified["links"][0], "an element of `links`")
    runs = opstore("runs")
    assert has(runs, "`runs`")
    assert has(runs["runs"][0], "an element of `runs`")
    assert has(runs["runs"][0]["versions"][0], "an element of `versions` of a run")
    assert has(opstore("runs", "--output", str(runs["runs"][0]["position"])), "`runs --output`")
    exact = opstore("validate", "iris", "--exact-set")
    assert has(exact["exact_set"], "`exact_set`")
    assert has(exact["run"], "an element of `runs`")
    pulled = opstore("pull", "--lock", "opstore.lock", "-d", "out")
    assert has(pulled, "`pull --lock`")
    assert [each["op"] for each in pulled["pulled"] if has(each, "an element of `pulled`")] == ["pca", "forest"]
    assert has(opstore("pull", "--lock", "opstore.lock", "-d", "out", "--prune"), "`pull --prune`")
    for document, row in (
        (opstore("tag", "pca", "production"), "`tag`"),
        (opstore("tag", "--lock", "opstore.lock", "live"), "`tag`"),
        (opstore("tags", "pca", "--history"), "`tags`"),
    ):
        assert has(document, row)
        assert all(has(each, "an element of `tags` of `tag` and `tags`") for each in document["tags"])
    assert opstore("show", "pca")["tags"] == ["live", "production", "stable"]
    assert has(opstore("untag", "pca", "stable"), "`untag`")
    assert opstore("tags", "pca", "--history")["tags"][0]["version"] is None
    assert has(opstore("graph", "iris"), "`graph`")
    check = opstore("resolve", "--check", "opstore.lock")
    assert has(check, "`resolve --check`")
    assert all(has(each, "an element of `versions` of `resolve --check`") for each in check["versions"])
    yanked = opstore("yank", "pca@1.0.0", "--reason", "a mistake")
    assert has(yanked, "`yank`")
    assert (yanked["yanked"], yanked["yank_reason"]) == (True, "a mistake")
    stale = opstore("resolve", "--check", "opstore.lock", code=1)
    assert has(stale, "`resolve --check`")
    assert (stale["holds"], stale["findings"]) == (False, ["pca@1.0.0 is yanked: a mistake"])
    picked = opstore("validate", "pca@1.0.0", "forest")["picked_yanked"]
    assert all(has(each, "an element of `picked_yanked`") for each in picked)
    assert picked == [{"op": "pca", "version": "1.0.0", "reason": "a mistake"}]
    unyanked = opstore("unyank", "pca@1.0.0")
    assert has(unyanked, "`unyank`")
    assert (unyanked["yanked"], unyanked["yank_reason"]) == (False, None)
    tried = opstore("remove", "pca@1.0.0", "--dry-run")
    assert has(tried, "`remove`")
    assert all(has(each, "an element of `broken` of `remove`") for each in tried["broken"])
    assert has(tried["removed"][0], "an element of `removed`")
    opstore("push", "pca", "a.bin", "--new", "--bump", "major")
    resolved = opstore("resolve", "iris")
    assert [passed["version"] for passed in resolved["skipped"] if has(passed, "an element of `skipped`")] == ["2.0.0"]
    affected = opstore("affected", "pca", code=1)
    assert has(affected, "`affected`")
    assert has(affected["version"], "`version` of `affected`")
    assert all(has(each, "an element of `affected`") for each in affected["affected"])
    assert opstore("affected", "pca@1.0.0")["affected"] == []
    assert opstore("validate", "iris", "--wait", "0", code=1)["verdict"] == "invalid"


@pytest.mark.slow
def test_a_negative_answer_is_a_document_too(opstore: Program) -> None:
    (opstore.folder / "a.bin").write_bytes(b"a")
    (opstore.folder / "b.bin").write_bytes(b"b")
    opstore("push", "pca", "a.bin")
    opstore("push", "forest", "a.bin")
    opstore("pipeline", "register", "iris", "pca", "forest")
    assert opstore("validate", "iris", code=3)["verdict"] == "unknown"
    assert opstore("versions", "pca", "--valid-for", "forest", code=3)["versions"] == []
    nothing = opstore("pull", "pca", "--valid-for", "forest", code=3)
    assert (nothing["pulled"], nothing["verdict"]) == ([], "unknown")
    opstore("link", "pca@1.0.0", "forest")
    opstore("push", "pca", "b.bin", "--bump", "major")
    assert opstore("validate", "pca", "forest", code=1)["verdict"] == "invalid"
    assert opstore("pull", "pca", "--pipeline", "iris", "-o", "pca.bin")["version"] == "1.0.0"
    for version in ("pca@1.0.0", "pca@2.0.0"):
        opstore("link", "--invalid", version, "forest")
    nothing = opstore("pull", "pca", "--pipeline", "iris", code=1)
    assert (nothing["pulled"], nothing["verdict"]) == ([], "invalid")
    none = opstore("resolve", "iris", code=1)
    assert has(none, "`resolve`")
    assert (none["versions"], none["verdict"]) == ([], "invalid")
    assert [edge["basis"] for edge in none["conflict"] if has(edge, "an element of `conflict`")] == ["known-invalid"]
    assert none["conflict"] == nothing["conflict"]
    opstore.run("stop")
    stopped = opstore("status", code=7)
    assert has(stopped, "`status`")
    assert stopped["running"] is False
