"""A pickled client works in another process of the same user, and no pickle contains a token."""

import copy
import os
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from opstore_cli import OpStoreClient
from opstore_cli.client import token_handover
from opstore_cli.config.credentials import Credentials
from opstore_cli.config.settings import load_settings
from opstore_daemon.protocol import errors
from opstore_daemon.testing import Serving
from tests.support.examples import is_all
from tests.support.figures import few
from tests.support.machines import Machine

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon"),
]

TOKEN = "the-secret-token-of-the-test"

# For each source of a token: the arguments of the client, and variables of its process that no worker has.
WAYS = {
    "argument": ("{url!r}, token={token!r}", {}),
    "OPSTORE_TOKEN": ("{url!r}", {"OPSTORE_TOKEN": "{token}"}),
    "OPSTORE_TOKEN_FILE": ("{url!r}", {"OPSTORE_TOKEN_FILE": "{file}"}),
    "login": ("{url!r}", {}),
    "token file": ("", {}),
    "OPSTORE_TOKEN for the local daemon": ("", {"OPSTORE_TOKEN": "{token}"}),
}

SCRIPT = """
import multiprocessing, os, pickle, sys
from concurrent.futures import ProcessPoolExecutor
from opstore_cli import OpStoreClient

def work(client, number):
    pushed = client.push(f"op{number}", b"bytes of %d" % number)
    assert client.pull(f"op{number}") == b"bytes of %d" % number
    return os.getpid()

def hand_on(client):
    # A worker starts its own workers.
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, client, 9).result()

if __name__ == "__main__":
    client = OpStoreClient(ARGUMENTS)
    for name in [name for name in os.environ if name.startswith("OPSTORE_TOKEN")]:
        del os.environ[name]
    for when in ("before the first verb", "after it"):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert sys.argv[2].encode() not in pickle.dumps(client, protocol)
        client.ops()
    context = multiprocessing.get_context(sys.argv[1])
    if sys.argv[3] == "all kinds of workers":
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            pids = set(pool.map(work, [client] * 8, range(8)))
            pids.add(pool.submit(hand_on, client).result())
        assert pids and os.getpid() not in pids
        with context.Pool(1) as pool:
            pool.apply(work, (client, 10))
    process = context.Process(target=work, args=(client, 11))
    process.start()
    process.join()
    assert process.exitcode == 0
    print(client.target.source)
"""


def script(machine: Machine, text: str) -> Path:
    return machine.file("script.py", textwrap.dedent(text))


def files(machine: Machine) -> list[str]:
    folder = machine.home / token_handover.FOLDER
    return sorted(os.listdir(folder)) if folder.exists() else []


def configure(machine: Machine, daemon: Machine, way: str) -> tuple[str, dict[str, str]]:
    """Configure the client by this method; return its arguments and its environment."""
    daemon.do("start")
    secret = machine.file("secret", daemon.token)
    secret.chmod(0o600)
    if way == "login":
        machine.do("login", daemon.url, stdin=daemon.token.encode())
    names = {"url": daemon.url, "token": daemon.token, "file": str(secret)}
    arguments, environ = WAYS[way]
    return arguments.format(**names), {name: value.format(**names) for name, value in environ.items()}


FAST = {("argument", "fork"), ("token file", "spawn")}


def _pairs() -> Iterator[object]:
    """Yield all pairs of a way and a method. In the fast tests one way is spawned, and one is forked."""
    for way in WAYS:
        for method in ("spawn", "fork", "forkserver"):
            is_fast = (way, method) in FAST
            yield pytest.param(way, method, marks=[] if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("way", "method"), list(_pairs()))
def test_a_pickled_client_works_in_worker_processes(machine: Machine, other: Machine, method: str, way: str) -> None:
    """All kinds of workers get each way in `make test-all`, and one in `make test`, in which they are forked."""
    daemon = machine if way in ("token file", "OPSTORE_TOKEN for the local daemon") else other
    arguments, environ = configure(machine, daemon, way)
    path = script(machine, SCRIPT.replace("ARGUMENTS", arguments))
    workers = "all kinds of workers" if (way, method) == ("argument", "fork") or is_all() else "one worker"
    source = machine.do(path, method, daemon.token, workers, program=[sys.executable], env=environ)
    assert source == way.split(" for ")[0]
    assert files(machine) == []
    assert len(daemon.do("ops", "-q").splitlines()) == (11 if workers != "one worker" else 1)


@pytest.mark.slow
def test_the_token_file_outlives_a_main_module_that_does_not_wait_for_its_workers(
    machine: Machine, other: Machine
) -> None:
    other.do("start")
    path = script(
        machine,
        """
        import multiprocessing, sys, time
        from opstore_cli import OpStoreClient

        class Late:
            def __reduce__(self):
                return time.sleep, (0.5,)

        def work(_late, client):
            print(client.push("pca", b"bytes").version)

        if __name__ == "__main__":
            client = OpStoreClient(sys.argv[1], token=sys.argv[2])
            multiprocessing.get_context("spawn").Process(target=work, args=(Late(), client)).start()
        """,
    )
    assert machine.do(path, other.url, other.token, program=[sys.executable]) == "1.0.0"
    assert files(machine) == []


DUMP = """
import pickle, sys
from pathlib import Path
from opstore_cli import OpStoreClient
Path("pickled").write_bytes(pickle.dumps(OpStoreClient(sys.argv[1], token=sys.argv[2])))
print("pickled", flush=True)
sys.stdin.read()
"""
LOAD = """
import pickle
from pathlib import Path
from opstore_cli import OpStoreError
client = pickle.loads(Path("pickled").read_bytes())
try:
    print(client.push("pca", b"bytes").version)
except OpStoreError as error:
    print(f"{error.code}, exit {error.exit_code}: {error.text}")
"""


@pytest.mark.slow
def test_a_pickle_in_a_file_works_while_its_process_lives(machine: Machine, other: Machine) -> None:
    other.do("start")
    load = ("-c", LOAD)
    with machine.begin(
        "-c", DUMP, other.url, other.token, program=[sys.executable], stdin=subprocess.PIPE, stderr=None
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"pickled\n"
        assert machine.do(*load, program=[sys.executable]) == "1.0.0"
        (name,) = files(machine)
        path = machine.home / token_handover.FOLDER / name
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert other.token.encode() not in (machine.cwd / "pickled").read_bytes()
        process.communicate(b"")
    assert files(machine) == []
    said = machine.do(*load, program=[sys.executable])
    assert said == (
        f"TokenUnavailable, exit 8: the token of an unpickled client can't be read from {path}: "
        "No such file or directory"
    )


@pytest.mark.parametrize("end", few(1, ["raise SystemExit(3)", "raise ValueError", "1 / 0"]))
def test_a_process_deletes_its_token_files_however_it_exits(machine: Machine, end: str) -> None:
    text = "import pickle; from opstore_cli import OpStoreClient\n"
    text += f"pickle.dumps(OpStoreClient('http://127.0.0.1:1', token='t'))\n{end}"
    machine.raw("-c", text, program=[sys.executable])
    assert (files(machine), (machine.home / token_handover.FOLDER).is_dir()) == ([], True)


@pytest.mark.slow
def test_the_next_process_deletes_the_files_of_a_killed_one(machine: Machine, other: Machine) -> None:
    killed = "import os, pickle, signal; from opstore_cli import OpStoreClient\n"
    killed += "pickle.dumps(OpStoreClient('http://127.0.0.1:1', token='t')); os.kill(os.getpid(), signal.SIGKILL)"
    machine.raw("-c", killed, program=[sys.executable])
    assert len(files(machine)) == 1
    other.do("start")
    with machine.begin(
        "-c", DUMP, other.url, other.token, program=[sys.executable], stdin=subprocess.PIPE, stderr=None
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # Files of a running process are kept.
        machine.raw("-c", killed.replace("os.kill", "print"), program=[sys.executable])
        assert len(files(machine)) == 1
        assert machine.do("-c", LOAD, program=[sys.executable]) == "1.0.0"
        process.communicate(b"")


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in [name for name in os.environ if name.startswith(("OPSTORE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("OPSTORE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "home"
    token_handover._delete_files()


def pickled_copy(client: OpStoreClient) -> OpStoreClient:
    found = pickle.loads(pickle.dumps(client))  # noqa: S301
    assert isinstance(found, OpStoreClient)
    return found


def token_files(home: Path) -> list[Path]:
    return sorted((home / token_handover.FOLDER).iterdir()) if (home / token_handover.FOLDER).exists() else []


def test_all_pickles_of_a_process_share_one_token_file_also_across_threads(
    home: Path, opstore_memory_server: Serving
) -> None:
    with OpStoreClient(opstore_memory_server.url, token=opstore_memory_server.token) as client:
        barrier = threading.Barrier(8)

        def work(number: int) -> str:
            barrier.wait()
            with pickled_copy(client) as other:
                return other.push(f"op{number}", b"bytes").version

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(work, range(8))) == ["1.0.0"] * 8
    assert len(token_files(home)) == 1


def test_an_unpickled_client_can_be_pickled_again(home: Path, opstore_memory_server: Serving) -> None:
    client = OpStoreClient(opstore_memory_server.url, token=opstore_memory_server.token)
    for made in (pickled_copy(pickled_copy(client)), copy.copy(client), copy.deepcopy(client)):
        with made:
            assert made.ops() == []


def test_every_verb_reports_a_deleted_token_file(home: Path) -> None:
    pickled = pickle.dumps(OpStoreClient("http://127.0.0.1:1", token=TOKEN))
    (path,) = token_files(home)
    path.unlink()
    found = pickle.loads(pickled)  # noqa: S301 - an error in here would end a worker process
    for made in (found, pickled_copy(found)):
        with pytest.raises(errors.TokenUnavailable, match="No such file") as refused:
            made.ops()
        assert pickle.loads(pickle.dumps(refused.value)).details["path"] == str(path)  # noqa: S301
    path.write_text("no token")
    with pytest.raises(errors.TokenUnavailable, match="it does not contain a token"):
        found.ops()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_gets_no_token(home: Path) -> None:
    client = OpStoreClient("http://127.0.0.1:1", token=TOKEN)
    (home.parent / "pickled").write_bytes(pickle.dumps(client))
    for folder in (home.parent, *home.parent.parents):
        if folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o011)
    home.chmod(0o711)
    text = """
import os, pickle, pathlib, opstore_cli.client.client, opstore_cli.transport.connections
data = pathlib.Path("pickled").read_bytes()
os.setuid(65534)
client = pickle.loads(data)
try:
    client.ops()
except Exception as error:
    print(type(error).__name__, error)
"""
    ran = subprocess.run([sys.executable, "-c", text], cwd=home.parent, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("TokenUnavailable ")
    assert "Permission denied" in ran.stdout


def test_a_token_that_the_other_process_finds_itself_is_not_written(
    home: Path, opstore_memory_server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    Credentials().store(opstore_memory_server.url, opstore_memory_server.token)
    with pickled_copy(OpStoreClient(opstore_memory_server.url)) as client:
        assert client.ops() == []
    pickled_copy(OpStoreClient())
    (home.parent / "opstore.toml").write_text(f'url = "{opstore_memory_server.url}"')
    monkeypatch.setenv("OPSTORE_TOKEN", TOKEN)
    # Nor is a token for another URL.
    with pickled_copy(OpStoreClient(token=TOKEN)) as client:
        assert client.ops() == []
    assert token_files(home) == []


def test_callbacks_are_not_pickled(home: Path, opstore_memory_server: Serving) -> None:
    calls: list[Any] = []
    client = OpStoreClient(
        opstore_memory_server.url,
        token=opstore_memory_server.token,
        progress=lambda *moved: calls.append(moved),
        notify=calls.append,
    )
    with pickled_copy(client) as other:
        other.push("pca", b"bytes")
        assert calls == []
        other.progress = lambda *moved: calls.append(moved)
        other.push("pca", b"other bytes")
        assert calls
    client.progress = False
    assert pickled_copy(client).progress is False


class Named(OpStoreClient):
    """A client subclass with an attribute."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self.name = name


def test_attributes_of_a_subclass_are_pickled(home: Path, opstore_memory_server: Serving) -> None:
    made = pickled_copy(Named("mine", url=opstore_memory_server.url, token=opstore_memory_server.token))
    assert isinstance(made, Named)
    assert made.name == "mine"
    with made:
        assert made.ops() == []


def test_nothing_else_that_holds_a_token_can_be_pickled(home: Path, opstore_memory_server: Serving) -> None:
    settings = load_settings("http://127.0.0.1:1", {"OPSTORE_TOKEN": TOKEN}, home.parent)
    with pytest.raises(TypeError, match=r"without_token"):
        pickle.dumps(settings)
    without = settings.without_token()
    assert pickle.loads(pickle.dumps(without)) == without  # noqa: S301
    client = OpStoreClient(opstore_memory_server.url, token=opstore_memory_server.token)
    with pytest.raises(TypeError):
        pickle.dumps(client.target)


def test_a_client_shows_no_token(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert repr(OpStoreClient("https://host/", token=TOKEN)) == "<OpStoreClient of https://host>"
    monkeypatch.setenv("OPSTORE_TOKEN", TOKEN)
    assert repr(OpStoreClient()) == f"<OpStoreClient of the local daemon in {home}>"
    assert TOKEN not in repr(OpStoreClient().settings)


def test_pickling_fails_if_the_home_is_not_writable(home: Path) -> None:
    home.write_text("a file")
    with pytest.raises(errors.InvalidSetting, match="OPSTORE_HOME"):
        pickle.dumps(OpStoreClient("http://127.0.0.1:1", token=TOKEN))


def test_a_link_in_place_of_the_folder_is_not_followed(home: Path) -> None:
    (home.parent / "elsewhere").mkdir()
    home.mkdir()
    (home / token_handover.FOLDER).symlink_to(home.parent / "elsewhere")
    with pytest.raises(errors.InvalidSetting):
        pickle.dumps(OpStoreClient("http://127.0.0.1:1", token=TOKEN))
    assert list((home.parent / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_a_fork_while_another_thread_locates_the_daemon_does_not_hang(machine: Machine, other: Machine) -> None:
    other.do("start")
    path = script(
        machine,
        """
        import os, sys, threading
        from opstore_cli import OpStoreClient
        from opstore_cli.transport import target

        client = OpStoreClient(sys.argv[1], token=sys.argv[2])
        looking, go_on, locate = threading.Event(), threading.Event(), target.locate

        def slowly(*given):
            looking.set()
            go_on.wait()
            return locate(*given)

        target.locate = slowly
        thread = threading.Thread(target=client.ops)
        thread.start()
        looking.wait()
        target.locate = locate
        child = os.fork()
        if child == 0:
            os._exit(0 if client.ops() == [] else 1)
        assert os.waitpid(child, 0)[1] == 0
        go_on.set()
        thread.join()
        """,
    )
    machine.do("-W", "ignore", path, other.url, other.token, program=[sys.executable])
