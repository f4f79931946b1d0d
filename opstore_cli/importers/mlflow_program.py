"""The program that reads an MLflow registry: `python -m opstore_cli.importers.mlflow_program FOLDER`.

It is a process of its own because MLflow prints, warns, and downloads in threads that Python waits for at its end: here
none of that reaches the command, which can kill the process at any time. Requests come on standard input, responses go
to standard output; both are in `mlflow_messages`. At the end of the input it deletes the FOLDER for downloads, so that
nothing stays if the command was killed.
"""

import importlib
import os
import queue
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec

from opstore_cli.importers import mlflow_messages as messages

PAGE = 200  # models or versions of one request to the registry
MAX_REASON = 500  # characters
_PASSWORD = re.compile(r"(://[^/@\s:]*):[^@\s]+@")
# MLflow creates missing tables, and migrates those of an older release.
_READING = re.compile(r"\s*\(?\s*(?:select|show|pragma|set|with|explain|begin|commit|rollback)\b", re.IGNORECASE)
META = "registered_model_meta"  # a file that MLflow's client adds to what it downloads


class _NotARegistry(Exception):
    """What is at the URI is no registry that this MLflow reads."""


class _NotDownloaded(Exception):
    """A download failed."""


def main() -> None:
    """Answer the requests, in order."""
    folder = Path(sys.argv[1])
    requests, responses = _take_streams()
    waiting: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_receive, args=(requests, waiting, folder), daemon=True).start()

    def respond(response: messages.Response) -> None:
        responses.write(msgspec.json.encode(response) + b"\n")
        responses.flush()

    try:
        mlflow: Any = importlib.import_module("mlflow")
        importlib.import_module("mlflow.artifacts")
    except Exception as error:  # noqa: BLE001 - such as those of an incompatible library that it imports
        respond(messages.LibraryFailed(reason=_reason(error)))
        return
    try:
        registry = _Registry(mlflow, os.environ["MLFLOW_TRACKING_URI"], folder)
    except Exception as error:  # noqa: BLE001 - whatever MLflow and its plugins raise
        respond(messages.RegistryFailed(reason=_reason(error)))
        return
    while True:
        respond(registry.respond(msgspec.json.decode(waiting.get(), type=messages.Request)))


def _take_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of requests and responses; what MLflow prints goes to standard error instead."""
    requests, responses = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests, responses


def _receive(requests: BinaryIO, waiting: "queue.Queue[bytes]", folder: Path) -> None:
    for line in requests:
        waiting.put(line)
    shutil.rmtree(folder, ignore_errors=True)
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)  # with what MLflow started
    os._exit(0)  # whatever a download is doing


class _Registry:
    """A registry, as MLflow's client reads it."""

    def __init__(self, mlflow: Any, uri: str, folder: Path) -> None:
        self._mlflow, self._uri, self._folder = mlflow, uri, folder
        _check_exists(uri, mlflow.__version__)
        self._client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)

    def respond(self, request: messages.Request) -> messages.Response:
        """Return the response. A request fails alone only if the registry still can be read after it."""
        try:
            match request:
                case messages.ListModels():
                    pages = _pages(self._client.search_registered_models)
                    return messages.Models(names=tuple(model.name for model in pages))
                case messages.ReadModel(model=name):
                    return self._model(name)
                case messages.ReadMetrics(run=run):
                    metrics = self._client.get_run(run).data.metrics
                    return messages.Metrics(values={str(name): repr(value) for name, value in metrics.items()})
                case messages.Download(model=name, number=number):
                    return messages.Downloaded(path=self._download(name, number))
        except Exception as failure:  # noqa: BLE001 - whatever MLflow and its plugins raise
            if isinstance(request, messages.ListModels):
                return messages.RegistryFailed(reason=_reason(failure))
            try:
                self._client.search_registered_models(max_results=1)
            except Exception as error:  # noqa: BLE001
                return messages.RegistryFailed(reason=_reason(error))
            return messages.Failed(reason=_reason(failure))

    def _model(self, name: str) -> messages.Model:
        model = self._client.get_registered_model(name)
        quote = '"' if "'" in name else "'"
        found = _pages(self._client.search_model_versions, filter_string=f"name={quote}{name}{quote}")
        return messages.Model(
            description=model.description or "",
            aliases={str(alias): int(number) for alias, number in (model.aliases or {}).items()},
            versions=tuple(sorted(map(_version, found), key=lambda version: version.number)),
        )

    def _download(self, name: str, number: int) -> str | None:
        """Return the path of the files of a version; None if there are none."""
        # Not `models:/NAME/NUMBER`: MLflow reads some names, such as one with an @, as something else there.
        uri = self._client.get_model_version_download_uri(name, str(number))
        target = self._folder / messages.FILES
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        download = self._mlflow.artifacts.download_artifacts
        try:
            path = Path(
                download(artifact_uri=uri, dst_path=str(target), tracking_uri=self._uri, registry_uri=self._uri)
            )
        except Exception as error:
            raise _NotDownloaded(f"its files can't be downloaded from {uri}: {_reason(error)}") from error
        if uri.startswith("models:"):
            (path / META).unlink(missing_ok=True)
        # An object store does not report a folder that is gone: it lists nothing in it.
        return str(path) if path.is_file() or any(path.iterdir()) else None


def _pages(search: Callable[..., Any], **options: Any) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=PAGE, page_token=token, **options)
        yield from page
        token = page.token
        if not token:
            return


def _version(version: Any) -> messages.ModelVersion:
    stage = version.current_stage
    return messages.ModelVersion(
        number=int(version.version),
        created=int(version.creation_timestamp or 0),
        status=str(version.status or "READY"),
        description=version.description or "",
        run=version.run_id or "",
        stage="" if stage in (None, "None") else stage,
        tags={str(key): str(value) for key, value in version.tags.items()},
    )


def _check_exists(uri: str, release: str) -> None:
    """Raise _NotARegistry if MLflow would create a registry at the URI, or change what is there."""
    parts = urlsplit(uri)
    if uri != "databricks" and parts.scheme in ("", "file"):
        folder = Path(url2pathname(parts.path) if parts.scheme else uri)
        if not (folder / "models").is_dir():
            raise _NotARegistry(f"{folder} has no folder models")
    elif parts.scheme not in ("", "http", "https", "databricks"):
        database = importlib.import_module("sqlalchemy")
        url = database.engine.make_url(uri)
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            raise _NotARegistry(f"file {url.database or ':memory:'} does not exist")

        def refuse_writes(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if not _READING.match(statement):
                reason = f"the database does not have the tables of MLflow {release}"
                raise _NotARegistry(f"{reason}; install the release that wrote it, or run: mlflow db upgrade URI")

        database.event.listen(database.engine.Engine, "before_cursor_execute", refuse_writes)


def _reason(error: BaseException) -> str:
    """Return why, in one line without passwords."""
    lines = (line.strip() for line in str(error).splitlines())
    # MLflow's error of a download says first that something failed, then for which file, then what.
    lines = (line for line in lines if line and not line.startswith(("#####", "The following failures occurred")))
    return _PASSWORD.sub(r"\1:***@", next(lines, type(error).__name__))[:MAX_REASON]


if __name__ == "__main__":
    main()
