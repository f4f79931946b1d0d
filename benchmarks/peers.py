"""Measure what a user would take instead, on the same files: MLflow's server, DVC, an OCI registry, and cp.

`make bench-peers` installs them under build/peers: MLflow and DVC in a virtual environment of their own, Debian's
docker-registry unpacked beside it. Each runs as its documents say, with its defaults. Clients are warm; start-up is
measured for those that have a command. Prints tables of the seconds and of the servers' memory. A peer that is not
installed is reported and skipped.
"""

import argparse
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import requests

from benchmarks.daemon import Daemon, large
from benchmarks.measuring import (
    KIB,
    MIB,
    change,
    copy,
    in_rounds,
    one_pass,
    show,
    timed,
    touch_memory,
    warm,
    write_random,
)
from opstore_cli import OpStoreClient

PEERS = Path("build/peers").absolute()
PYTHON, REGISTRY = PEERS / "venv/bin/python", PEERS / "registry/usr/bin/docker-registry"
WITHIN = 120.0  # seconds for a server to come up

Jobs = dict[str, Callable[[Path, Path], float]]

# A resident MLflow client: it reads a line of JSON and writes the seconds.
MLFLOW = """
import json, logging, os, sys, time
import mlflow
from mlflow import MlflowClient
logging.disable(logging.CRITICAL)
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
client = MlflowClient(sys.argv[1])
mlflow.set_tracking_uri(sys.argv[1])
experiment = client.create_experiment("benchmark")
client.create_registered_model("big")
last = None
for line in sys.stdin:
    what, path = json.loads(line)
    began = time.perf_counter()
    if what == "push":
        run = client.create_run(experiment)
        client.log_artifact(run.info.run_id, path)
        client.create_model_version("big", f"{run.info.artifact_uri}/{os.path.basename(path)}", run.info.run_id)
        last = run.info.run_id, os.path.basename(path)
    else:
        os.makedirs(path)
        mlflow.artifacts.download_artifacts(run_id=last[0], artifact_path=last[1], dst_path=path)
    print(time.perf_counter() - began, file=out, flush=True)
"""

CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="size of the large file (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the large file (default: 3)")
    parser.add_argument("--small", type=int, default=20, help="rounds of 1 KiB (default: 20)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="opstore-benchmark-", dir=Path.cwd()) as text, ExitStack() as stack:
        folder = Path(text)
        jobs: Jobs = {}
        memory: dict[str, _Memory] = {}
        for name, peer in (("opstore", _opstore), ("MLflow", _mlflow), ("registry", _registry), ("DVC", _dvc)):
            made = stack.enter_context(peer(folder))
            if made is None:
                print(f"{name} is not in {PEERS.relative_to(Path.cwd())}: left out")
                continue
            pushes_and_pulls, pid = made
            jobs |= pushes_and_pulls
            if pid is not None:
                memory[name] = stack.enter_context(_Memory(pid))
        jobs["cp and fsync"] = lambda source, target: timed(lambda: copy(source, target))
        jobs["one pass"] = lambda source, target: timed(lambda: one_pass(source, target))
        for size, rounds in ((KIB, asked.small), (asked.mib * MIB, asked.rounds)):
            _measure(folder, jobs, size, rounds)
            peaks = [(name, f"{each.take():.0f}") for name, each in memory.items()]
            show(f"{large(size)}: peaks of the servers' resident memory", ("", "MiB"), peaks)


def _measure(folder: Path, jobs: Jobs, size: int, rounds: int) -> None:
    source, target = folder / "source", folder / "target"
    write_random(source, size)

    def prepared(work: Callable[[Path, Path], float]) -> Callable[[], float]:
        def run() -> float:
            if target.is_dir():
                shutil.rmtree(target)
            target.unlink(missing_ok=True)
            if size > MIB:
                touch_memory(folder, 2 * size + 256 * MIB)
            return work(source, target)

        return run

    pulls = {name: prepared(work) for name, work in jobs.items() if " pull" in name}
    found: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):  # each pushes before it pulls, so a round has all pushes first and all pulls after them
        change(source)
        warm(source)
        for half in ({name: prepared(jobs[name]) for name in jobs if name not in pulls}, pulls):
            for name, values in in_rounds(half, 1).items():
                found[name] += values
    _show(f"{large(size)}, {rounds} rounds", found)


def _show(title: str, found: dict[str, list[float]]) -> None:
    medians = {name: statistics.median(values) for name, values in found.items()}
    rows = []
    for name, values in sorted(found.items(), key=lambda each: (" pull" in each[0], medians[each[0]])):
        ours = medians["opstore pull" if " pull" in name else "opstore push"]
        spread = f"{min(values) * 1000:.0f} to {max(values) * 1000:.0f}"
        rows.append((name, f"{medians[name] * 1000:.1f}", spread, f"{medians[name] / ours:.2f}"))
    show(title, ("", "median ms", "spread", "times opstore"), rows)


# --- peers ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opstore(folder: Path) -> Iterator[tuple[Jobs, int | None] | None]:
    (folder / "opstore").mkdir()
    with Daemon(folder / "opstore") as daemon, OpStoreClient(daemon.url, token=daemon.token) as client:
        client.ops()

        def push(source: Path, _: Path) -> float:
            daemon.forget_blobs()  # otherwise the second of the two would have nothing to send
            return timed(lambda: client.push("big", source))

        def push_whole(source: Path, _: Path) -> float:
            daemon.forget_blobs()
            return daemon.do("push", "whole", source, "--new").seconds

        def pull(_: Path, target: Path) -> float:
            return timed(lambda: client.pull("big", to=target))

        jobs: Jobs = {
            "opstore push": push,
            "opstore pull": pull,
            "opstore's command push": push_whole,
            "opstore's command pull": lambda _, target: daemon.do("pull", "whole", "-o", target).seconds,
        }
        yield jobs, daemon.pid


@contextmanager
def _mlflow(folder: Path) -> Iterator[tuple[Jobs, int | None] | None]:
    if not (PEERS / "venv/bin/mlflow").exists():
        yield None
        return
    home, port = folder / "mlflow", _free_port()
    home.mkdir()
    url = f"http://127.0.0.1:{port}"
    command = [PEERS / "venv/bin/mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--serve-artifacts"]
    where = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    with _server([*command, *where], home, f"{url}/health") as server:
        client = subprocess.Popen(
            [PYTHON, "-c", MLFLOW, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert client.stdin is not None
        assert client.stdout is not None
        writing, reading = client.stdin, client.stdout

        def ask(what: str, path: Path) -> float:
            writing.write(json.dumps([what, str(path)]) + "\n")
            writing.flush()
            return float(reading.readline())

        try:
            yield (
                {
                    "MLflow push": lambda source, _: ask("push", source),
                    "MLflow pull": lambda _, target: ask("pull", target),
                },
                server.pid,
            )
        finally:
            client.kill()
            client.wait()


@contextmanager
def _registry(folder: Path) -> Iterator[tuple[Jobs, int | None] | None]:
    if not REGISTRY.exists():
        yield None
        return
    home, port = folder / "registry", _free_port()
    home.mkdir()
    (home / "config.yml").write_text(CONFIG.format(root=home / "data", port=port))
    url = f"http://127.0.0.1:{port}/v2/big"
    with _server([REGISTRY, "serve", home / "config.yml"], home, f"http://127.0.0.1:{port}/v2/") as server:
        session = requests.Session()
        session.trust_env = False
        digests = []

        def put(body: Any, digest: str) -> None:
            place = session.post(f"{url}/blobs/uploads/").headers["Location"]
            parameters = {"digest": f"sha256:{digest}"}
            session.put(place, params=parameters, data=body).raise_for_status()

        def push(source: Path, _: Path) -> None:
            digest = _digest(source)  # a registry requires it before it makes a blob of the upload
            with source.open("rb") as file:
                put(file, digest)
            config = json.dumps({"made": digest}).encode()
            put(config, _digest_of(config))
            layer = {
                "mediaType": "application/octet-stream",
                "size": source.stat().st_size,
                "digest": f"sha256:{digest}",
            }
            kind = "application/vnd.oci.image.manifest.v1+json"
            described = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(config)}
            described["digest"] = f"sha256:{_digest_of(config)}"
            manifest = {"schemaVersion": 2, "mediaType": kind, "config": described, "layers": [layer]}
            answer = session.put(f"{url}/manifests/latest", json=manifest, headers={"Content-Type": kind})
            answer.raise_for_status()
            digests.append(digest)

        def pull(_: Path, target: Path) -> None:
            seen = hashlib.sha256()
            with session.get(f"{url}/blobs/sha256:{digests[-1]}", stream=True) as answer, target.open("wb") as file:
                for piece in answer.iter_content(MIB):
                    seen.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            if seen.hexdigest() != digests[-1]:
                raise SystemExit("the registry's bytes are others")

        jobs: Jobs = {
            "registry push": lambda source, target: timed(lambda: push(source, target)),
            "registry pull": lambda source, target: timed(lambda: pull(source, target)),
        }
        yield jobs, server.pid


@contextmanager
def _dvc(folder: Path) -> Iterator[tuple[Jobs, int | None] | None]:
    dvc = PEERS / "venv/bin/dvc"
    if not dvc.exists():
        yield None
        return
    home, remote = folder / "dvc", folder / "dvc-remote"
    home.mkdir()
    remote.mkdir()
    environ = {**os.environ, "DVC_NO_ANALYTICS": "1"}

    def run(*words: object) -> None:
        subprocess.run([dvc, *map(str, words), "-q"], cwd=home, env=environ, check=True, stdout=subprocess.DEVNULL)

    run("init", "--no-scm")
    run("remote", "add", "-d", "local", remote)

    def push(source: Path, _: Path) -> float:
        shutil.copy(source, home / "model")

        def both() -> None:
            run("add", "model")
            run("push")

        return timed(both)

    def pull(_: Path, target: Path) -> float:
        (home / "model").unlink()
        shutil.rmtree(home / ".dvc" / "cache", ignore_errors=True)
        return timed(lambda: run("pull"))

    yield {"DVC's command push (add, push)": push, "DVC's command pull": pull}, None


# --- servers --------------------------------------------------------------------------------------------------------


@contextmanager
def _server(command: list[Any], home: Path, url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a server in a process group of its own, and yield once it responds."""
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [str(word) for word in command], cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    try:
        ends = time.monotonic() + WITHIN
        while True:
            try:
                if requests.get(url, timeout=5).status_code < 500:
                    break
            except requests.RequestException:
                pass
            if time.monotonic() > ends or server.poll() is not None:
                raise SystemExit(f"no server came up: {(home / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield server
    finally:
        os.killpg(server.pid, 15)
        server.wait()


class _Memory:
    """The peak memory of a server and all processes that it started, sampled all the time."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak = pid, 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def take(self) -> float:
        """Return the peak in MiB since the last call."""
        peak, self._peak = self._peak, 0.0
        return peak

    def _look(self) -> None:
        while not self._done.wait(0.05):
            self._peak = max(self._peak, sum(_resident(pid) for pid in _with_children(self._pid)))


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _with_children(int(child))
    except OSError:
        return


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
    return port


if __name__ == "__main__":
    main()
