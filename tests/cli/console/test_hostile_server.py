"""Every command against a hostile server: documented exit codes, no traceback, nothing unescaped, nothing written."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_cli.console.application import cli
from opstore_cli.console.session import Session
from opstore_cli.main import main
from opstore_cli.transfer import retry
from opstore_cli.transport import adapter
from opstore_daemon.protocol import routes
from tests.support import hostile_verbs
from tests.support.examples import examples, is_all
from tests.support.figures import few
from tests.support.hostile_server import (
    CONTROLS,
    MALFORMED,
    REFUSED,
    Answer,
    Change,
    HostileClient,
    HostileServer,
    Mutation,
    Source,
    leaves,
    mutate,
    mutations,
    with_document,
)
from tests.support.servers import ADMIN_TOKEN, open_server

# No request to a daemon at a URL is a part of these, or not only: they are about the local daemon, or another store.
LOCAL = {
    *("serve", "start", "stop", "restart", "logs", "db upgrade", "db current", "token", "backup", "restore", "migrate"),
    *(
        "completion",
        "help",
        "import chariots",
        "import mlflow",
        "import export",
        "copy",
        "config show",
        "config set",
        "config unset",
    ),
}

COMMANDS: dict[str, list[str]] = {
    "push": ["pca", "source"],
    "register": ["stateless", "--subversions", "cccc.cccc.cccc"],
    "pull": ["pca@1.0.0", "-o", "out"],
    "versions": ["pca", "--valid-for", "forest"],
    "show": ["pca@1.0.0"],
    "ops": [],
    "diff": ["pca@1.0.0", "pca@1.0.1"],
    "log": ["pca"],
    "edit": ["pca@1.0.1", "--label", "stage=test"],
    "tag": ["pca@1.0.0", "stable"],
    "untag": ["pca", "old"],
    "tags": ["pca"],
    "yank": ["pca@1.0.1", "--reason", "bad"],
    "unyank": ["pca@1.0.1"],
    "remove": ["pca@1.0.0", "--dry-run"],
    "op set": ["pca", "--compat", "exact"],
    "link": ["pca@1.0.0", "forest@1.0.0"],
    "unlink": ["pca@1.0.1", "forest@1.0.0"],
    "links": ["pca"],
    "validate": ["churn"],
    "verify": ["churn", "--run", "true"],
    "bisect": ["churn", "--good", "12", "--bad", "13", "--run", "sh", "-c", '! grep -q newer "$OPSTORE_OP_PCA"'],
    "runs": ["churn"],
    "resolve": ["churn", "--lock", "out"],
    "affected": ["settings@2.0.0"],
    "graph": ["churn", "--format", "mermaid"],
    "pipeline register": ["churn", "pca", "forest"],
    "pipeline list": [],
    "pipeline show": ["churn"],
    "pipeline remove": ["gone"],
    "export": ["pca@1.0.0", "-d", "out"],
    "gc": ["--dry-run"],
    "fsck": [],
    "status": [],
    "open": ["--print"],
    "login": ["URL"],
    "logout": ["URL"],
    "doctor": [],
}
FURTHER: dict[str, list[str]] = {
    "pull by pipeline": ["pull", "--pipeline", "churn", "-d", "models"],
    "pull valid": ["pull", "pca", "--valid-for", "forest", "-d", "models"],
    "pull by name": ["pull", "pca"],
    "pull to standard output": ["pull", "pca@1.0.0", "-o", "-"],
    "validate an edge": ["validate", "pca@1.0.0", "forest@1.0.0"],
    "validate as markdown": ["validate", "churn", "--format", "markdown"],
    "wait": ["validate", "churn", "--wait", "0"],
    "validate the exact set": ["validate", "churn", "--use", "pca@1.0.0", "--exact-set"],
    "output of a run": ["runs", "--output", "10"],
    "graph as text": ["graph", "churn"],
    "open an op": ["open", "pca", "--print"],
}
WORDS = {**{name: [*name.split(), *words] for name, words in COMMANDS.items()}, **FURTHER}
READING = (
    "versions",
    "log",
    "show",
    "ops",
    "tags",
    "links",
    "validate",
    "runs",
    "output of a run",
    "affected",
    "graph",
    "status",
    "validate as markdown",
)
IGNORES_FAILURES = {"logout", "doctor"}  # one has to work without the daemon, the other one reports what it found


def leaf_commands(group: click.Group, prefix: str = "") -> Iterator[str]:
    """Yield the names of all commands."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from leaf_commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def test_every_command_is_run() -> None:
    assert set(COMMANDS) == set(leaf_commands(cli)) - LOCAL


class Run(NamedTuple):
    """The outcome of a command: its exit code and what it wrote."""

    code: int
    out: str
    err: str


class Console:
    """Runs commands in this process against a hostile server."""

    def __init__(self, source: Source, server: HostileServer, folder: Path) -> None:
        self.source, self.url, self.folder = source, server.url, folder
        self._prepared = -1  # writes when the store had what the commands need

    def run(self, name: str, change: Change | None = None, *options: str) -> Run:
        """Run the command of that name, from true state, on responses that are changed."""
        self.source.change = None
        if self.source.writes != self._prepared:
            hostile_verbs.prepare_for_commands(HostileClient(self.source))
            self._prepared = self.source.writes
        self.source.sent, self.source.change = [], change
        words = [self.url if word == "URL" else word for word in WORDS[name]]
        streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
        kept = sys.stdin, sys.stdout, sys.stderr
        sys.stdin = io.TextIOWrapper(io.BytesIO(ADMIN_TOKEN.encode()))
        sys.stdout, sys.stderr = streams
        try:
            code = main([*words, *options], Session())
        finally:
            sys.stdin, sys.stdout, sys.stderr = kept
            self.source.change = None
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(errors="replace") for stream in streams)
        assert "Traceback" not in out + err
        shown = err if name == "pull to standard output" else out + err
        assert all(char.isprintable() or char in "\n\t" for char in shown), shown
        return Run(code, out, err)

    def written(self) -> list[str]:
        """Return the files below the folder, and remove those that a command may write."""
        found = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        for name in found:
            if name.startswith("work/") and name != "work/source":
                (self.folder / name).unlink()
        return [name for name in found if not name.startswith(("home/", "config/")) and name != "work/source"]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("hostile")
    store = tmp_path_factory.mktemp("store")
    (folder / "work").mkdir()
    (folder / "work" / "source").write_bytes(hostile_verbs.BYTES)
    opened = open_server(store)
    source = Source(opened)
    hostile_verbs.fill(HostileClient(source))
    with HostileServer(source) as server, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder / "work")
        patch.setattr(retry, "WAITS", (0.0,))
        patch.setattr(adapter, "BACKOFF", 0.0)
        patch.setattr(adapter, "JITTER", 0.0)
        for name, value in {"URL": server.url, "TOKEN": ADMIN_TOKEN, "HOME": str(folder / "home")}.items():
            patch.setenv(f"OPSTORE_{name}", value)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("HOME", str(folder / "config"))
        yield Console(source, server, folder)
    opened.close()


@pytest.mark.parametrize("name", few(10, WORDS))
def test_a_command_accepts_the_true_response(console: Console, name: str) -> None:
    assert console.run(name).code == (1 if name == "affected" else 0)
    console.written()


@pytest.mark.parametrize("name", few(10, sorted(set(WORDS) - IGNORES_FAILURES)))
def test_no_command_accepts_a_failure_as_success(console: Console, name: str) -> None:
    changes = list({**REFUSED, **MALFORMED}.items())
    for title, change in changes if is_all() else changes[sorted(WORDS).index(name) % 8 :: 8]:
        run = console.run(name, _if_json(change) if title in MALFORMED else change)
        if title in MALFORMED and not any(answer.is_json for answer in console.source.sent):
            console.written()  # bytes alone, which are those of the digest
            continue
        assert run.code in (2, 4, 5, 6, 7, 8, 9), (title, run)
        assert console.written() == [], title
        assert "rm -rf" not in run.err.partition("hint")[2]


def _if_json(change: Change) -> Change:
    return lambda answer: change(answer) if answer.is_json else answer


@pytest.mark.parametrize("name", sorted(IGNORES_FAILURES))
def test_a_command_that_ignores_failures_does_not_fail(console: Console, name: str) -> None:
    for change in list({**REFUSED, **MALFORMED}.values())[:: 1 if is_all() else 4]:
        assert console.run(name, change).code in (0, 1)


@pytest.mark.parametrize("name", few(4, READING))
def test_text_of_users_reaches_no_terminal_unescaped(console: Console, name: str) -> None:
    free = {"message", "reason", "evidence", "note", "yank_reason", "version", "schema", "home", "run"}

    def change(answer: Answer) -> Answer:
        if not answer.is_json:
            return answer
        document = json.loads(answer.body)
        for path, value in list(leaves(document)):
            is_free = path and (path[-1] in free - {"version"} or (name == "status" and path[-1] == "version"))
            if is_free and (isinstance(value, str) or path[-1] in ("message", "evidence")):
                document = mutate(document, Mutation(path, CONTROLS, wrong=False))
        return with_document(answer, document)

    for options in ((), ("--json",)):
        run = console.run(name, change, *options)
        assert run.code in (0, 1), run
        assert "\x1b" not in run.out + run.err
        lines = [line for line in run.out.splitlines() if line]
        if name in ("versions", "links") and not options:
            assert len({line.count("\t") for line in lines}) == 1
        console.written()


@pytest.fixture(scope="module")
def choices(console: Console) -> list[tuple[str, int, Mutation]]:
    found: list[tuple[str, int, Mutation]] = []
    for name in sorted(set(WORDS) - IGNORES_FAILURES):
        console.run(name)
        console.written()
        for place, answer in enumerate(console.source.sent):
            if answer.is_json:
                is_status = "schema" in json.loads(answer.body)
                each = mutations(json.loads(answer.body), is_status=is_status)
                found += [(name, place, mutation) for mutation in each if mutation.wrong]
    return found


@pytest.mark.slow
@given(index=st.integers(0, 2**20))
@examples(400)
def test_a_wrong_value_in_a_response_exits_6(
    console: Console, choices: list[tuple[str, int, Mutation]], index: int
) -> None:
    name, place, mutation = choices[index % len(choices)]
    seen, changed = iter(range(1_000_000)), []

    def change(answer: Answer) -> Answer:
        if next(seen) != place:
            return answer
        try:
            answer = with_document(answer, mutate(json.loads(answer.body), mutation))
        except (LookupError, TypeError, ValueError):
            return answer
        changed.append(mutation)
        return answer

    run = console.run(name, change)
    # What `status` lists of unfinished uploads is an addition to its answer.
    allowed = (0, 6) if name == "status" and mutation.path[0] in ("uploads", "next_cursor") else (6,)
    if changed:
        assert run.code in allowed, (name, mutation, run)
        assert console.written() == []
    console.written()


# --- HTTP -----------------------------------------------------------------------------------------------------------

_JSON = f"Content-Type: {routes.JSON}\r\n".encode()
RAW: dict[str, bytes] = {
    "nothing": b"",
    "no HTTP": b"\x00\x01\x02\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "another version": b"HTTP/9.9 200 OK\r\n\r\n",
    "a status of letters": b"HTTP/1.1 abc OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello",
    "a negative length": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: -5\r\n\r\nhello",
    "a length of letters": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: abc\r\n\r\nhello",
    "a long length": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a body that ends early": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Content-Length: 99\r\n\r\n{",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a negative chunk": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n",
    "a chunk that ends early": b"HTTP/1.1 200 OK\r\n" + _JSON + b"Transfer-Encoding: chunked\r\n\r\nff\r\n{}",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nabc\r\n\x1b[31m\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    "a long header": b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    "a long reason": b"HTTP/1.1 200 " + b"\x1b[31m" * 20_000 + b"\r\n\r\n",
    "an interim response alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "a redirect": b"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
    "a redirect to a file": b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "a delay of many digits": b"HTTP/1.1 503 x\r\nRetry-After: " + b"0" * 5000 + b"\r\nContent-Length: 0\r\n\r\n",
    "a delay of letters": b"HTTP/1.1 503 x\r\nRetry-After: \x1b[31m\r\nContent-Length: 0\r\n\r\n",
    "a delay with a wrong date": b"HTTP/1.1 503 x\r\nRetry-After: Mon, 99 Jan 99999 1:1:1\r\nContent-Length: 0\r\n\r\n",
    "a cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: \x1b=\x00; Domain=.;\r\nContent-Length: 0\r\n\r\n",
    "a folded header": b'HTTP/1.1 200 OK\r\nETag: "a\r\n b"\r\nContent-Length: 0\r\n\r\n',
    "a wrong date": b"HTTP/1.1 200 OK\r\nDate: Mon, 99 Jan 99999 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("title", few(8, RAW))
def test_no_response_of_another_protocol_ends_a_command_with_a_bug(console: Console, title: str) -> None:
    def change(answer: Answer) -> Answer:
        return Answer(answer.status, answer.headers, answer.body, raw=RAW[title])

    names = ["show", "pull", "pull to standard output", "push", "untag", "doctor"]
    for name in names if is_all() else names[list(RAW).index(title) % 2 :: 2]:
        run = console.run(name, change)
        assert run.code in ((1,) if name == "doctor" else (6, 7, 9)), (name, run)
        assert console.written() == []


@pytest.mark.slow
def test_bytes_that_come_in_broken_chunks_end_a_pull_without_a_bug(console: Console) -> None:
    def broken(body: bytes) -> Callable[[Answer], Answer]:
        def change(answer: Answer) -> Answer:
            if answer.is_json:
                return answer
            head = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items() if name != "Content-Length")
            start = f"HTTP/1.1 {answer.status} OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode("latin-1")
            return Answer(answer.status, answer.headers, answer.body, raw=start + body)

        return change

    for body in (b"", b"zz\r\n", b"5\r\nab", b"5\r\nabcdeXX", b"-5\r\nabcde\r\n", b"f" * 70_000, b"0\r\n\r\n"):
        for name in ("pull", "pull by name", "pull to standard output", "pull by pipeline"):
            run = console.run(name, broken(body))
            assert run.code in (6, 7), (name, body[:9], run)
            assert [path for path in console.written() if ".part" not in path] == []


def test_the_working_folder_is_that_of_the_module(console: Console) -> None:
    assert os.getcwd() == str(console.folder / "work")
