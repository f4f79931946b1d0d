"""The main workflow in a shell: each command plain, with -q and with --json."""

import json
import platform
import re
import shlex
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.figures import few
from tests.support.machines import STARTED, Machine, Triple
from tests.support.schema import HEAD
from tests.support.waiting import wait_for
from tests.support.wire import unused_port

FORMS = ("", "-q", "--json")


@dataclass(frozen=True)
class Step:
    """A command line and its expected output in each format.

    `err` is the expected stderr. With -q it is empty; with --json each line is a note, unless `in_document` says that
    the document contains it.
    """

    line: str
    out: str
    quiet: str
    document: Any
    err: str = ""
    code: int = 0
    in_document: bool = False

    def expected(self, form: str) -> tuple[int, Any, Any]:
        if form == "":
            return self.code, self.out, self.err
        if form == "-q":
            return self.code, self.quiet, ""
        notes = [] if self.in_document else [{"note": line} for line in self.err.splitlines()]
        return self.code, self.document, notes


def run(machine: Machine, line: str, form: str) -> tuple[int, Any, Any]:
    code, out, err = machine.run(*shlex.split(line), *form.split())
    if form != "--json":
        return code, out, err
    assert out.count("\n") == 1
    document = json.loads(out)
    assert document.pop("picked_yanked", []) == []
    return code, without_positions(document), [json.loads(line) for line in err.splitlines()]


def without_positions(document: Any) -> Any:
    """Return the document without the journal positions of verdicts and pipelines."""
    for each in document.get("pipelines", [document]):
        if "edges" in each:
            each.pop("position")
    return document


def version(op: str, number: str, sequence: int, position: int, size: int | None, **more: Any) -> dict[str, Any]:
    stored = {"digest": None if size is None else "DIGEST", "size": size}
    identity = {
        "op": op,
        "version": number,
        "subversions": "VERSION",
        "sequence": sequence,
        "position": position,
        **stored,
    }
    rest = {"registered_at": "TIME", "labels": {}, "tags": [], "yanked": False, "message": None, "note": None}
    rest |= {
        "yank_reason": None,
        "format": None,
        "libraries": {},
        "filename": None,
        "executable": False,
        "author": "ana",
    }
    return {**identity, **rest, **more}


def link(up: str, down: str, position: int, valid: bool = True, evidence: str | None = None) -> dict[str, Any]:
    upstream, upstream_version = up.split("@")
    downstream, downstream_version = down.split("@")
    return {
        "upstream": upstream,
        "upstream_version": upstream_version,
        "downstream": downstream,
        "downstream_version": None if downstream_version == "any" else downstream_version,
        "valid": valid,
        "state": "valid" if valid else "invalid",
        "evidence": evidence,
        "position": position,
        "until": None,
        "run": None,
        "registered_at": "TIME",
    }


def pushed(made: dict[str, Any], links: Sequence[dict[str, Any]] = (), created: bool = True) -> dict[str, Any]:
    return {**made, "created": created, "links": list(links), "compatible_with": None}


def op(name: str, latest: str, versions: int, compat: str) -> dict[str, Any]:
    return {"name": name, "latest": latest, "versions": versions, "compat": compat, "description": None}


NO_RUN: dict[str, Any] = {"run": None, "exact_set": None, "uncompared": []}


def edge(up: str, down: str, basis: str, reason: str) -> dict[str, Any]:
    ends = {name: dict(zip(("op", "version"), end.split("@"), strict=True)) for name, end in _ends(up, down)}
    verdict = {"link": "valid", "not-validated": "invalid", "no-links": "unknown"}[basis]
    return {**ends, "verdict": verdict, "basis": basis, "reason": reason}


def _ends(up: str, down: str) -> list[tuple[str, str]]:
    return [("upstream", up), ("downstream", down)]


def pipeline(name: str, ops: list[str], edges: list[list[str]], created: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "ops": ops,
        "edges": edges,
        "registered_at": "TIME",
        "created": created,
        "created_ops": [],
    }


FIRST = version("pca", "1.0.0", 1, 1, 5, filename="first.bin", labels={"run": "4711"}, message="twelve components")
SECOND = version("pca", "1.1.0", 2, 2, 6, filename="second.bin")
THIRD = version("pca", "2.0.0", 3, 3, 5, filename="first.bin")
FIRST_LINE = "pca@1.0.0\tTIME\t5\tDIGEST\t-\ttwelve components\n"
SECOND_LINE = "pca@1.1.0\tTIME\t6\tDIGEST\t-\t-\n"
THIRD_LINE = "pca@2.0.0\tTIME\t5\tDIGEST\t-\t-\n"

NOT_VALIDATED = "pca 2.0.0 is not validated for forest 1.0.0; last validated: 1.0.0 for forest 1.0.0"
UNKNOWN = "no link says whether tokenizer 1.0.0 is valid for forest 1.0.0"
PASSED_OVER = [{"op": "pca", "version": "2.0.0", "reason": NOT_VALIDATED}]
WIDE = [["pca", "forest"], ["tokenizer", "forest"]]

USED_BY = {
    "upstream": {"op": "pca", "version": "1.0.0"},
    "downstream": {"op": "forest", "version": "1.0.0"},
    "verdict": "valid",
    "reason": "pca 1.0.0 is valid for forest 1.0.0",
    "basis": "link",
}
STORY = [
    Step("ops", "", "", {"ops": []}),
    Step(
        "push pca first.bin -m 'twelve components' --label run=4711",
        "pca@1.0.0\n",
        "pca@1.0.0\n",
        pushed(FIRST, created=True),
    ),
    Step("push pca second.bin --bump minor", "pca@1.1.0\n", "pca@1.1.0\n", pushed(SECOND, created=True)),
    Step("push pca first.bin --bump major", "pca@2.0.0\n", "pca@2.0.0\n", pushed(THIRD, created=True)),
    Step(
        "push pca first.bin",
        "pca@2.0.0\n",
        "pca@2.0.0\n",
        pushed(THIRD, created=False),
        "nothing new: pca@2.0.0 has these bytes already\n",
    ),
    Step(
        "op set pca --compat major",
        "pca has the compatibility major\n",
        "pca\n",
        op("pca", "2.0.0", 3, "major"),
    ),
    Step(
        "push forest forest.bin --valid-with pca@1.0.0",
        "forest@1.0.0\n",
        "forest@1.0.0\n",
        pushed(
            version("forest", "1.0.0", 1, 5, 6, filename="forest.bin"), links=[link("pca@1.0.0", "forest@1.0.0", 6)]
        ),
        "pca@1.0.0 is valid for forest@1.0.0\n",
        in_document=True,
    ),
    Step(
        "register tokenizer --field major:language=en",
        "tokenizer@1.0.0\n",
        "tokenizer@1.0.0\n",
        pushed(version("tokenizer", "1.0.0", 1, 7, None), created=True),
    ),
    Step(
        "register tokenizer --field major:language=en",
        "tokenizer@1.0.0\n",
        "tokenizer@1.0.0\n",
        pushed(version("tokenizer", "1.0.0", 1, 7, None), created=False),
        "nothing new: tokenizer@1.0.0 is registered already\n",
    ),
    Step(
        "versions pca",
        THIRD_LINE + SECOND_LINE + FIRST_LINE,
        "pca@2.0.0\npca@1.1.0\npca@1.0.0\n",
        {
            "op": "pca",
            "versions": [THIRD, SECOND, FIRST],
            "skipped": [],
            "verdict": "valid",
            "next_cursor": None,
        },
    ),
    Step(
        "versions pca --valid-for forest@1.0.0",
        SECOND_LINE + FIRST_LINE,
        "pca@1.1.0\npca@1.0.0\n",
        {
            "op": "pca",
            "versions": [SECOND, FIRST],
            "skipped": PASSED_OVER,
            "verdict": "valid",
            "next_cursor": None,
        },
        f"skipped pca@2.0.0: {NOT_VALIDATED}\n",
        in_document=True,
    ),
    Step(
        "ops",
        "forest\t1.0.0\t1\texact\t-\npca\t2.0.0\t3\tmajor\t-\ntokenizer\t1.0.0\t1\texact\t-\n",
        "forest\npca\ntokenizer\n",
        {
            "ops": [
                op("forest", "1.0.0", 1, "exact"),
                op("pca", "2.0.0", 3, "major"),
                op("tokenizer", "1.0.0", 1, "exact"),
            ]
        },
    ),
    Step(
        "show pca@1.0.0",
        "op\tpca\nversion\t1.0.0\nyanked\tno\nsize\t5\nregistered_at\tTIME\nauthor\tana\n"
        "tags\t-\nlatest_of\tpca@1.0\n"
        "message\ttwelve components\nlabel\trun=4711\n"
        "downstream\tvalid forest@1.0.0: pca 1.0.0 is valid for forest 1.0.0\n"
        "filename\tfirst.bin\nsequence\t1\nposition\t1\nsubversions\tVERSION\ndigest\tDIGEST\n",
        "pca@1.0.0\n",
        {
            **FIRST,
            "latest_of": ["pca@1.0"],
            "upstreams": [],
            "downstreams": [USED_BY],
            "has_more": False,
            "runs": [],
            "description": None,
        },
    ),
    Step(
        "pipeline register churn pca forest",
        "churn\n",
        "churn\n",
        pipeline("churn", ["pca", "forest"], [["pca", "forest"]], created=True),
    ),
    Step(
        "pipeline register churn pca forest",
        "churn\n",
        "churn\n",
        pipeline("churn", ["pca", "forest"], [["pca", "forest"]]),
        "nothing new: the pipeline churn is registered with this graph already\n",
    ),
    Step(
        "pipeline register wide --edge pca:forest --edge tokenizer:forest",
        "wide\n",
        "wide\n",
        pipeline("wide", ["pca", "tokenizer", "forest"], WIDE, created=True),
    ),
    Step(
        "pipeline list",
        "churn\tpca, forest\t1\tTIME\nwide\tpca, tokenizer, forest\t2\tTIME\n",
        "churn\nwide\n",
        {
            "pipelines": [
                pipeline("churn", ["pca", "forest"], [["pca", "forest"]]),
                pipeline("wide", ["pca", "tokenizer", "forest"], WIDE),
            ]
        },
    ),
    Step(
        "pipeline show wide",
        "pca\tforest\ntokenizer\tforest\n",
        "pca\ntokenizer\nforest\n",
        pipeline("wide", ["pca", "tokenizer", "forest"], WIDE),
    ),
    Step(
        "validate churn",
        f"pca@2.0.0 -> forest@1.0.0\tinvalid\tnot-validated\t{NOT_VALIDATED}\n",
        "invalid\n",
        {
            "verdict": "invalid",
            "edges": [edge("pca@2.0.0", "forest@1.0.0", "not-validated", NOT_VALIDATED)],
            "versions": [{"op": "pca", "version": "2.0.0"}, {"op": "forest", "version": "1.0.0"}],
            "pipeline": "churn",
            "set": "DIGEST",
            **NO_RUN,
        },
        "the pipeline churn is invalid\n"
        "no run says whether exactly these versions work together: opstore verify churn --run CMD\n",
        code=1,
        in_document=True,
    ),
    Step(
        "validate tokenizer forest",
        f"tokenizer@1.0.0 -> forest@1.0.0\tunknown\tno-links\t{UNKNOWN}\n",
        "unknown\n",
        {
            "verdict": "unknown",
            "edges": [edge("tokenizer@1.0.0", "forest@1.0.0", "no-links", UNKNOWN)],
            "versions": [{"op": "tokenizer", "version": "1.0.0"}, {"op": "forest", "version": "1.0.0"}],
            "pipeline": None,
            "set": None,
            **NO_RUN,
        },
        code=3,
    ),
    Step(
        "pull pca --valid-for forest@1.0.0",
        "pca-1.1.0.bin\n",
        "pca@1.1.0\n",
        {**SECOND, "path": "pca-1.1.0.bin"},
        f"skipped pca@2.0.0: {NOT_VALIDATED}\n",
        in_document=True,
    ),
    Step(
        "link pca@2.0.0 forest@any --evidence 'accuracy 0.91'",
        "pca@2.0.0 is valid for any version of forest\n",
        "pca@2.0.0 forest@any\n",
        link("pca@2.0.0", "forest@any", 10, evidence="accuracy 0.91"),
    ),
    Step(
        "link pca@1.1.0 forest@1.0.0 --invalid",
        "pca@1.1.0 is known not to be valid for forest@1.0.0\n",
        "pca@1.1.0 forest@1.0.0\n",
        link("pca@1.1.0", "forest@1.0.0", 11, valid=False),
    ),
    Step(
        "links",
        "pca@1.1.0\tforest@1.0.0\tinvalid\tTIME\t-\npca@2.0.0\tforest@any\tvalid\tTIME\taccuracy 0.91\n"
        "pca@1.0.0\tforest@1.0.0\tvalid\tTIME\t-\n",
        "pca@1.1.0 forest@1.0.0\npca@2.0.0 forest@any\npca@1.0.0 forest@1.0.0\n",
        {
            "links": [
                link("pca@1.1.0", "forest@1.0.0", 11, valid=False),
                link("pca@2.0.0", "forest@any", 10, evidence="accuracy 0.91"),
                link("pca@1.0.0", "forest@1.0.0", 6),
            ]
        },
    ),
    Step(
        "validate churn",
        "pca@2.0.0 -> forest@1.0.0\tvalid\tlink\tpca 2.0.0 is valid for any version of forest\n",
        "valid\n",
        {
            "verdict": "valid",
            "edges": [edge("pca@2.0.0", "forest@1.0.0", "link", "pca 2.0.0 is valid for any version of forest")],
            "versions": [{"op": "pca", "version": "2.0.0"}, {"op": "forest", "version": "1.0.0"}],
            "pipeline": "churn",
            "set": "DIGEST",
            **NO_RUN,
        },
        "the pipeline churn is valid\n"
        "no run says whether exactly these versions work together: opstore verify churn --run CMD\n",
        in_document=True,
    ),
    Step("pull pca --pipeline churn", "pca-2.0.0.bin\n", "pca@2.0.0\n", {**THIRD, "path": "pca-2.0.0.bin"}),
    Step("pull pca@1.0.0 -o first.out", "first.out\n", "pca@1.0.0\n", {**FIRST, "path": "first.out"}),
    Step(
        "unlink pca@1.1.0 forest@1.0.0",
        "revoked: pca@1.1.0 is known not to be valid for forest@1.0.0\n",
        "pca@1.1.0 forest@1.0.0\n",
        link("pca@1.1.0", "forest@1.0.0", 11, valid=False),
    ),
    Step(
        "op set pca --compat minor",
        "pca has the compatibility minor\n",
        "pca\n",
        op("pca", "2.0.0", 3, "minor"),
    ),
    Step("pipeline remove wide", "", "", {"removed": "wide"}, "removed the pipeline wide\n"),
]


# tests/cli/output has each command in each form.
IN_FORMS = pytest.mark.parametrize(
    "form",
    [pytest.param(form, marks=pytest.mark.slow if form else []) for form in FORMS],
    ids=["plainly", "quietly", "in JSON"],
)


@IN_FORMS
def test_the_main_workflow_in_a_shell(machine: Machine, form: str) -> None:
    machine.file("first.bin", "first")
    machine.file("second.bin", "second")
    machine.file("forest.bin", "forest")
    machine.do("start")
    for step in STORY:
        assert run(machine, step.line, form) == step.expected(form), step.line
    pulled = {name: (machine.cwd / name).read_bytes() for name in ("pca-1.1.0.bin", "pca-2.0.0.bin", "first.out")}
    assert pulled == {"pca-1.1.0.bin": b"second", "pca-2.0.0.bin": b"first", "first.out": b"first"}
    assert set(machine.listing()) == {"first.bin", "second.bin", "forest.bin", *pulled}


STATE = {"running": True, "url": "URL", "pid": "PID", "version": "0.1.0", "home": "/machine/data", "started_at": "TIME"}
NO_STATE = {"running": False, "url": None, "pid": None, "version": None, "home": "/machine/data"}
STATE_LINES = "running\tyes\nurl\tURL\npid\tPID\nversion\t0.1.0\nhome\t/machine/data\nstarted_at\tTIME\n"
CHOSEN = {"because": "no URL is set", "credential": "token file"}
SIZES = {"ops": 0, "versions": 0, "database_size": "BYTES", "blobs_size": 0, "garbage_size": 0, "trash_size": 0}
STATUS = {**STATE, **CHOSEN, **SIZES, "unfinished": []}
FURTHER = "credential\ttoken file\nops\t0\nversions\t0\ndatabase_size\tBYTES\nblobs_size\t0\n"
FURTHER += "garbage_size\t0\ntrash_size\t0\n"
STATUS_LINES = f"{STATE_LINES}because\tno URL is set\n{FURTHER}"
IN_THE_BACKGROUND = [
    Step("stop", "", "", NO_STATE, "no daemon runs for /machine/data\n"),
    Step("start", "URL\n", "URL\n", STATE, "started\n"),
    Step("start", "URL\n", "URL\n", STATE, "already running\n"),
    Step("status", STATUS_LINES, "URL\n", STATUS),
    Step("restart", "URL\n", "URL\n", STATE, "restarted\n"),
    Step("stop", "", "", NO_STATE, "stopped the local daemon\n"),
    Step("restart", "URL\n", "URL\n", STATE, "restarted\n"),
]


@pytest.mark.parametrize("form", few(1, FORMS), ids=["plainly", "quietly", "in JSON"])
def test_the_daemon_in_the_background(machine: Machine, form: str) -> None:
    for step in IN_THE_BACKGROUND:
        assert run(machine, step.line, form) == step.expected(form), step.line


def test_the_status_without_a_daemon(machine: Machine) -> None:
    said = "error: no daemon runs for /machine/data\nhint: opstore start\n"
    assert machine.run("status") == (7, "", said)
    assert machine.run("status", "-q") == (7, "", said)
    reasons = {"because": "no URL is set", "reason": "no daemon runs for /machine/data"}
    document: dict[str, Any] = {**NO_STATE, **reasons, "unfinished": []}
    assert run(machine, "status", "--json") == (7, document, [])
    assert not machine.home.exists()


def test_the_status_of_a_daemon_with_a_url_has_its_schema(machine: Machine) -> None:
    machine.do("start")
    options = ["--url", machine.url]
    code, out, err = machine.run("status", *options)
    named = "--url names it"
    assert (code, out, err) == (
        0,
        f"{STATE_LINES}schema\t{HEAD}\nhost\t{platform.node()}\nbecause\t{named}\n{FURTHER}",
        "",
    )
    assert machine.ask("status", *options) == (
        0,
        {**STATUS, "schema": HEAD, "host": platform.node(), "because": named},
        None,
    )
    assert machine.run("status", "-q", *options) == (0, "URL\n", "")


def test_the_status_has_the_sizes_of_what_is_stored(machine: Machine) -> None:
    for name in ("pca", "forest"):
        machine.do("push", name, machine.file("same.bin", b"12345"))
    machine.do("push", "pca", machine.file("other.bin", b"123"))
    found = machine.ask("status")[1]
    assert (found["ops"], found["versions"], found["blobs_size"]) == (2, 3, 8)
    code, shown = machine.on_a_terminal("status")
    assert (code, "blobs size     8 B" in shown) == (0, True)


def test_the_log_is_printed_and_followed(machine: Machine) -> None:
    missing = (
        "there is no log at /machine/data/daemon.log: the daemon creates it when it first starts in the background"
    )
    assert machine.run("logs") == (4, "", f"error: {missing}\nhint: opstore start\n")
    machine.do("start")
    machine.do("ops")
    lines = machine.do("logs", "-n", "1").splitlines()
    assert [" GET /v1/ops 200 " in line for line in lines] == [True]
    code, document, _ = machine.ask("logs")
    assert (code, document["path"], " GET /v1/ops " in document["lines"][-1]) == (0, "/machine/data/daemon.log", True)
    assert machine.run("logs", "-f", "--json")[0] == 2
    assert machine.run("logs", "--url", "http://127.0.0.1:1")[0] == 2
    with machine.begin("logs", "-n", "1", "-f", stdout=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stdout.readline().endswith(b"\n")  # from now on it follows
        machine.do("tags")
        assert b" GET /v1/tags 200 " in next(line for line in following.stdout if b"/v1/tags" in line)
        following.send_signal(signal.SIGINT)
        assert following.wait(60) == 130


def test_the_daemon_in_the_foreground_serves_until_it_is_interrupted(machine: Machine) -> None:
    port = unused_port()
    process = machine.begin("serve", "--port", str(port), "-q")
    wait_for(machine.runtime_file.exists, "a daemon that listens")
    assert (machine.runtime()["port"], machine.pid) == (port, process.pid)
    assert machine.do("ops") == ""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")
    lines = machine.tidy(err.decode()).splitlines()
    listening = "TIME INFO opstore.daemon opstore 0.1.0 listens at URL, with its data in /machine/data"
    assert (lines[0], lines[-1]) == (listening, "TIME INFO opstore.daemon stopped")
    assert not machine.runtime_file.exists()


@pytest.mark.slow
def test_a_second_daemon_for_a_home_is_a_conflict_that_names_the_first(machine: Machine) -> None:
    machine.do("start")
    said = "error: /machine/data is in use by the daemon at URL (pid PID)\nhint: opstore stop\n"
    code, out, err = machine.run("serve")
    assert (code, out, err[err.index("error:") :]) == (5, "", said)
    code, out, err = machine.run("db", "upgrade")
    assert (code, out, err[err.index("error:") :]) == (5, "", said)
    assert machine.starts() == 1


@pytest.mark.slow
def test_the_database_can_be_upgraded_without_a_daemon(machine: Machine) -> None:
    assert machine.run("db", "current") == (0, f"none (this opstore needs {HEAD})\n", "")
    assert machine.run("db", "upgrade") == (0, f"upgraded the schema from none to {HEAD}\n", "")
    assert machine.run("db", "upgrade") == (0, f"the schema is already {HEAD}\n", "")
    assert machine.run("db", "current") == (0, f"{HEAD} (this opstore needs {HEAD})\n", "")
    schema = {"schema": HEAD, "before": HEAD, "backup": None}
    assert machine.ask("db", "upgrade") == (0, schema, None)
    assert machine.ask("db", "current") == (0, {"schema": HEAD, "needed": HEAD, "release": None}, None)
    assert machine.run("-q", "db", "current") == (0, f"{HEAD}\n", "")
    code, _, error = machine.ask("db", "current", "--db", "foo://x")
    assert (code, error["code"]) == (2, "InvalidSetting")


VERSION_KEYS = "op version subversions sequence digest size registered_at labels tags yanked"
PROMISED = {
    "push pca pca.bin": f"{VERSION_KEYS} created",
    "register pca --subversions aaaa.bbbb.cccc": VERSION_KEYS,
    "show pca": VERSION_KEYS,
    "versions pca": "op versions",
    "ops": "ops",
    "links": "links",
    "validate pca forest": "verdict edges",
    "pull pca": f"{VERSION_KEYS} path",
    "status": "running url pid version home",
}
PROMISED_INSIDE = {
    "versions pca": ("versions", VERSION_KEYS),
    "ops": ("ops", "name latest versions compat description"),
    "links": ("links", "upstream upstream_version downstream downstream_version valid evidence position"),
    "validate pca forest": ("edges", "upstream downstream verdict reason"),
}


@pytest.mark.slow
def test_json_has_the_keys_of_the_contract(machine: Machine) -> None:
    machine.file("pca.bin", "one")
    machine.do("push", "pca", "pca.bin")
    machine.do("push", "forest", "pca.bin", "--valid-with", "pca")
    for line, keys in PROMISED.items():
        code, document, error = machine.ask(*line.split())
        assert (code, error, set(keys.split()) - set(document)) == (0, None, set()), line
        if line in PROMISED_INSIDE:
            inside, inner_keys = PROMISED_INSIDE[line]
            assert document[inside], line
            for row in document[inside]:
                assert set(inner_keys.split()) <= set(row), line
    _, document, _ = machine.ask("validate", "pca", "forest")
    assert document["edges"][0]["upstream"] == {"op": "pca", "version": "1.0.0"}


# --- on a terminal ----------------------------------------------------------------------------------------------------


def test_lists_are_tables_on_a_terminal(stocked: Machine) -> None:
    for line, expected in {
        "ops": """\
OP         LATEST  VERSIONS  COMPAT
forest     2.0.0   2         exact
pca        2.0.0   3         exact
tokenizer  1.0.0   1         exact
""",
        "links": """\
UPSTREAM   DOWNSTREAM    VERDICT  SINCE
pca@1.0.0  forest@1.0.0  ✓ valid  JUST NOW
""",
        "show pca@1.0.0": """\
op             pca
version        1.0.0
yanked         no
size           3 B
registered     JUST NOW (TIME)
author         ana
tags           none
latest of      pca@1.0
message        twelve components
label          run=4711
downstream     ○ invalid forest@2.0.0: REASON
sequence       1
position       1
subversions    VERSION
digest         DIGEST
""",
        "pipeline show churn": """\
UPSTREAM  DOWNSTREAM
pca       forest
""",
    }.items():
        code, shown = stocked.on_a_terminal(*line.split(), columns=250, env={"NO_COLOR": "1"})
        shown = re.sub(r"(forest@2.0.0:) pca 1.0.0 is not validated .*", r"\1 REASON", shown)
        assert (code, _blanks_squeezed(shown)) == (0, _blanks_squeezed(expected)), line


def _blanks_squeezed(shown: str) -> list[list[str]]:
    # The placeholder for a time is narrower than the time.
    return [line.split() for line in shown.splitlines()]


def test_a_narrow_terminal_gets_a_line_for_each_cell(stocked: Machine) -> None:
    assert stocked.on_a_terminal("ops", columns=20) == (
        0,
        "op       forest\nlatest   2.0.0\nversions 2\ncompat   exact\n\n"
        "op       pca\nlatest   2.0.0\nversions 3\ncompat   exact\n\n"
        "op       tokenizer\nlatest   1.0.0\nversions 1\ncompat   exact\n",
    )


def test_a_terminal_gets_colour_unless_it_is_disabled(stocked: Machine) -> None:
    _, shown = stocked.on_a_terminal("validate", "pca", "forest")
    assert "\x1b[31m○ invalid\x1b[0m" in shown
    for words, env in (
        (["--no-color"], {}),
        ([], {"NO_COLOR": "1"}),
        ([], {"TERM": "dumb"}),
    ):
        code, shown = stocked.on_a_terminal("validate", "pca", "forest", *words, env=env)
        assert (code, "○ invalid" in shown, "\x1b" in shown) == (1, True, False)


def test_json_is_indented_on_a_terminal(stocked: Machine) -> None:
    code, shown = stocked.on_a_terminal("show", "tokenizer", "--json")
    assert (code, json.loads(shown)["op"], shown.count("\n") > 10) == (0, "tokenizer", True)


def test_the_first_command_starts_the_daemon_and_reports_it_in_every_format(machine: Machine, other: Machine) -> None:
    expected: Triple = (0, "", STARTED)
    assert machine.run("ops", "-q") == expected
    code, out, err = other.run("ops", "--json")
    assert (code, out, json.loads(err)) == (0, '{"ops":[]}\n', {"note": STARTED.rstrip("\n")})


@pytest.mark.parametrize(
    ("words", "tip"),
    few(
        1,
        [
            (("ops",), "no ops yet: opstore push NAME FILE creates one\n"),
            (("pipeline", "list"), "no pipelines yet: opstore pipeline register NAME OP OP ... registers one\n"),
            (("doctor",), "no problems found\n"),
            (("completion", "bash"), "see opstore completion --help\n"),
        ],
    ),
)
def test_tips_are_shown_to_people_and_not_to_scripts(machine: Machine, words: tuple[str, ...], tip: str) -> None:
    machine.do("start")
    code, shown = machine.on_a_terminal(*words)
    assert (code, shown.endswith(tip)) == (0, True)
    assert machine.run(*words)[2] == ""
    assert tip not in machine.on_a_terminal(*words, "-q")[1]
