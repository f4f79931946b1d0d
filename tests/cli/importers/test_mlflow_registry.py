"""The process that reads a registry, with a module in place of MLflow that misbehaves."""

import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from opstore_cli.importers.mlflow_messages import ModelVersion
from opstore_cli.importers.mlflow_registry import FilesUnreadable, Registry, open_registry
from opstore_daemon.protocol import errors
from tests.support.processes import is_running
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it looks at processes")

# What the tests add to the client's methods.
STAND_IN = """
    import os
    import subprocess
    import sys
    import time
    from types import SimpleNamespace as Object

    print("MLflow prints")
    os.write(1, b"as its libraries do")
    __version__ = "3.0"

    class Page(list):
        token = None

    class MlflowClient:
        def __init__(self, tracking_uri, registry_uri):
            self.names = ["churn"]
        def search_registered_models(self, max_results, page_token=None):
            return Page(Object(name=name) for name in self.names)
        def get_model_version_download_uri(self, name, version):
            return "s3://bucket/model"
"""

DOWNLOAD = """
    import os
    import subprocess
    import time
    from pathlib import Path

    def download_artifacts(artifact_uri, dst_path, tracking_uri, registry_uri):
        path = Path(dst_path, "model")
        path.mkdir()
"""


@pytest.fixture
def mlflow(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that writes the module, with lines for the client and the download; it returns settings."""

    def write(client: str = "", download: str = "return path", before: str = "") -> dict[str, str]:
        folder = tmp_path / "modules" / "mlflow"
        folder.mkdir(parents=True, exist_ok=True)
        stand_in = textwrap.dedent(STAND_IN) + textwrap.indent(textwrap.dedent(client), "    ")
        (folder / "__init__.py").write_text(textwrap.dedent(before) + stand_in)
        lines = textwrap.dedent(DOWNLOAD) + textwrap.indent(textwrap.dedent(download), "    ")
        (folder / "artifacts.py").write_text(lines)
        (tmp_path / "temporary").mkdir(exist_ok=True)
        return {"PATH": os.defpath, "PYTHONPATH": str(folder.parent), "OPSTORE_TOKEN": "secret"}

    return write


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder for temporary files."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def ignore(*_: object) -> None:
    pass


def test_what_mlflow_prints_is_no_data(mlflow: Callable[..., dict[str, str]], temporary: Path) -> None:
    settings = mlflow("""
        def get_registered_model(self, name):
            print("more")
            return Object(description=None, aliases=None)
        def search_model_versions(self, max_results, page_token=None, filter_string=None):
            assert filter_string == "name=" + chr(34) + "it's" + chr(34)
            page = Page([Object(version="10" if page_token else 9, creation_timestamp=None, status=None, run_id=None,
                                description=None, current_stage="None", tags={})])
            page.token = None if page_token else "second page"
            return page
        def get_run(self, run):
            names = ("OPSTORE_TOKEN", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_HTTP_REQUEST_MAX_RETRIES")
            return Object(data=Object(metrics={name: os.environ.get(name) for name in names} | {"x": float("inf")}))
    """)
    with open_registry("http://host", {**settings, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5"}) as registry:
        assert registry.models() == ("churn",)
        versions = (ModelVersion(number=9, created=0), ModelVersion(number=10, created=0))
        assert registry.model("it's").versions == versions
        assert registry.metrics("churn", "4711") == {
            "OPSTORE_TOKEN": "None",
            "MLFLOW_DISABLE_TELEMETRY": "'true'",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "'5'",
            "x": "inf",
        }
    assert list(temporary.iterdir()) == []


def test_a_download_is_deleted_after_its_use(mlflow: Callable[..., dict[str, str]], temporary: Path) -> None:
    settings = mlflow(
        """
        def get_model_version_download_uri(self, name, version):
            return {"1": "s3://bucket", "2": "models:/m-1", "3": "s3://empty", "4": "file.bin"}[version]
        """,
        """
        if artifact_uri == "file.bin":
            path = path / artifact_uri
            path.write_bytes(b"one file")
        elif artifact_uri != "s3://empty":
            (path / "MLmodel").touch()
            (path / "registered_model_meta").touch()
        return str(path)
        """,
    )
    with open_registry("http://host", settings) as registry:
        for number, names in ((1, ["MLmodel", "registered_model_meta"]), (2, ["MLmodel"])):
            with registry.files("churn", number, ignore) as files:
                assert sorted(path.name for path in files.iterdir()) == names
            assert not files.exists()
        with pytest.raises(FilesUnreadable, match="its files are gone"), registry.files("churn", 3, ignore):
            pass
        with registry.files("churn", 4, ignore) as files:
            assert files.read_bytes() == b"one file"
    assert list(temporary.iterdir()) == []


def test_only_a_registry_that_still_answers_lets_a_request_fail_alone(mlflow: Callable[..., dict[str, str]]) -> None:
    failing = '''
        raise OSError("""The following failures occurred while downloading one or more artifacts:
        ##### File model #####
        no access to http://ann:secret@host/x""")
        '''
    with open_registry("http://host", mlflow(download=failing)) as registry:
        for _ in range(2):
            with pytest.raises(FilesUnreadable) as caught, registry.files("churn", 1, ignore):
                pass
        said = "its files can't be downloaded from s3://bucket/model: no access to http://ann:***@host/x"
        assert str(caught.value) == said
    down = mlflow("def search_registered_models(self, max_results): raise OSError('the host is down')", failing)
    with open_registry("http://host", down) as registry:
        with pytest.raises(errors.RegistryUnreadable) as failure, registry.files("churn", 1, ignore):
            pass
        assert failure.value.details == {"reason": "the host is down"}


@pytest.mark.parametrize(
    ("before", "client", "error", "reason"),
    [
        ("import nothing", "", errors.LibraryMissing, "No module named 'nothing'"),
        ("1 / 0", "", errors.LibraryMissing, "division by zero"),
        ("", "def search_registered_models(self, **_): os._exit(3)", errors.RegistryUnreadable, "exit code 3"),
        ("", "def search_registered_models(self, **_): 1 / 0", errors.RegistryUnreadable, "division by zero"),
        ("", "def search_registered_models(self, **_): raise OSError", errors.RegistryUnreadable, "OSError"),
    ],
)
def test_a_registry_that_cannot_be_read_is_an_error(
    mlflow: Callable[..., dict[str, str]],
    temporary: Path,
    before: str,
    client: str,
    error: type[errors.OpStoreError],
    reason: str,
) -> None:
    with open_registry("http://host", mlflow(client, before=before)) as registry, pytest.raises(error, match=reason):
        registry.models()
    assert list(temporary.iterdir()) == []


# A download that never ends, with a process of its own.
HANGING = """
    child = subprocess.Popen(["sleep", "600"])
    (path / "pid").write_text(f"{os.getpid()} {child.pid}")
    time.sleep(600)
"""


def _pids(temporary: Path) -> list[int]:
    return [int(pid) for path in temporary.glob("*/files/model/pid") for pid in path.read_text().split()]


def test_an_interrupt_ends_a_download_and_deletes_its_folder(
    mlflow: Callable[..., dict[str, str]], temporary: Path
) -> None:
    pids: list[int] = []

    def interrupt(done: int, total: int | None) -> None:
        pids.extend(_pids(temporary))
        if len(pids) == 2:
            assert (done > 0, total) == (True, None)
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        open_registry("http://host", mlflow(download=HANGING)) as registry,
        registry.files("churn", 1, interrupt),
    ):
        pass
    assert list(temporary.iterdir()) == []
    wait_for(lambda: not any(map(is_running, pids)), "the end of its processes")


def test_the_program_ends_with_the_command_that_started_it(
    mlflow: Callable[..., dict[str, str]], temporary: Path
) -> None:
    class Killed(Exception):
        pass

    pids: list[int] = []

    def lose(_done: int, _total: int | None) -> None:
        pids.extend(_pids(temporary))
        if len(pids) == 2:
            raise Killed

    with open_registry("http://host", mlflow(download=HANGING)) as registry:
        with pytest.raises(Killed), registry.files("churn", 1, lose):
            pass
        _close_input(registry)
        wait_for(lambda: not any(map(is_running, pids)), "the end of its processes")
        assert list(temporary.iterdir()) == []


def _close_input(registry: Registry) -> None:
    """Close the program's input, as the system does when the command is killed."""
    stdin = registry._process.stdin
    assert stdin is not None
    stdin.close()
