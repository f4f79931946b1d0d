"""An MLflow registry, which a separate process reads."""

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from opstore_cli.client.mixin import ignore
from opstore_cli.importers import mlflow_messages as messages
from opstore_cli.transfer.progress import Progress
from opstore_daemon.protocol import errors

POLL_INTERVAL = 0.5  # seconds between two looks at how far a download is
_Expected = TypeVar("_Expected", bound=messages.Message)

# How MLflow has to run; the variables that the user set come first where that is harmless.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
_DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2"}  # MLflow's own 7 take four minutes


class FilesUnreadable(Exception):
    """The files or the metrics of a version can't be read; the rest of the registry can."""


class Registry:
    """A running program that reads the registry; see `open_registry`."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self._process, self._folder = process, folder

    def models(self) -> tuple[str, ...]:
        """Return the names of all models."""
        return self._ask(messages.ListModels(), messages.Models).names

    def model(self, name: str) -> messages.Model:
        """Return a model. Raises FilesUnreadable if it can't be read."""
        return self._ask(messages.ReadModel(model=name), messages.Model)

    def metrics(self, model: str, run: str) -> dict[str, str]:
        """Return the metrics of a run of the model. Raises FilesUnreadable if it is gone."""
        return self._ask(messages.ReadMetrics(model=model, run=run), messages.Metrics).values

    @contextmanager
    def files(self, model: str, number: int, progress: Progress) -> Iterator[Path]:
        """Yield a copy of the files of a version, deleted afterwards. Raises FilesUnreadable if they are gone."""
        path = self._ask(messages.Download(model=model, number=number), messages.Downloaded, progress).path
        if path is None:
            raise FilesUnreadable("its files are gone")
        try:
            yield Path(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _ask(self, request: messages.Request, expected: type[_Expected], progress: Progress = ignore) -> _Expected:
        """Return the response. Raises FilesUnreadable, RegistryUnreadable or LibraryMissing."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None  # noqa: S101 - they are pipes
        assert stdout is not None  # noqa: S101
        with suppress(BrokenPipeError):  # it ended early: its last response says why
            stdin.write(msgspec.json.encode(request) + b"\n")
            stdin.flush()
        while os.name == "posix" and not select.select([stdout], [], [], POLL_INTERVAL)[0]:
            progress(_size(self._folder / messages.FILES), None)
        line = stdout.readline()
        if not line:
            raise errors.RegistryUnreadable(reason=f"MLflow ended with exit code {self._process.wait()}")
        try:
            response = msgspec.json.decode(line, type=messages.Response)
        except msgspec.DecodeError as error:
            raise errors.RegistryUnreadable(reason=str(error)) from None
        match response:
            case messages.Failed(reason=reason):
                raise FilesUnreadable(reason)
            case messages.LibraryFailed(reason=reason):
                raise errors.LibraryMissing(
                    what="opstore import mlflow", library="mlflow", extra="mlflow", reason=reason
                )
            case messages.RegistryFailed(reason=reason):
                raise errors.RegistryUnreadable(reason=reason)
        if not isinstance(response, expected):
            raise errors.RegistryUnreadable(reason=f"MLflow's process sent {type(response).__name__}")
        return response


@contextmanager
def open_registry(uri: str, environment: Mapping[str, str]) -> Iterator[Registry]:
    """Start the program that reads the registry at the URI, and end it after the block, also after an interrupt."""
    # The URI may have a password, which other users could read among the arguments.
    settings = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_REGISTRY_URI": uri, **_SETTINGS}
    ours = ("OPSTORE_", "PYTHONWARNINGS")
    inherited = {name: value for name, value in environment.items() if not name.startswith(ours)}
    with tempfile.TemporaryDirectory(prefix="opstore-mlflow-", ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "opstore_cli.importers.mlflow_program", folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**_DEFAULTS, **inherited, **settings},
            start_new_session=True,  # Ctrl-C is for this process, which ends the other
        )
        try:
            yield Registry(process, Path(folder))
        finally:
            _end(process)


def _size(folder: Path) -> int:
    """Return how many bytes the files in a folder have, while another process writes them."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            size += path.stat().st_size if path.is_file() else 0
    return size


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Kill the program and whatever it started, so that nothing writes into its folder any more."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    process.wait()
