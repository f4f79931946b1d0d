"""`validate` with an environment: a row for each library that differs, and what that does to the verdict."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opstore_cli.objects import libraries
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import Validation
from tests.support.in_process import InProcessClient

SAVED = {"python": "3.12.4", "scikit-learn": "1.4.2", "skops": "0.13.0", "numpy": "1.26.4"}
PINNED = "scikit-learn==1.4.2\nskops==0.13.0\nnumpy==1.26.4\n"


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of a store with a pipeline of three ops, of which only `pca` records libraries."""
    client = InProcessClient(memory_server)
    client.push("pca", b"components", format="skops", libraries=SAVED)
    client.push("forest", b"trees", valid_with="pca")
    client.save("labels", ["a"], valid_with="forest")
    client.register_pipeline("iris", ["pca", "forest", "labels"])
    return client


def rows(found: Validation) -> list[tuple[str, str, str]]:
    """Return the ends, the verdict and the reason of the rows about libraries."""
    return [
        (f"{edge.upstream} -> {edge.downstream}", edge.verdict, edge.reason)
        for edge in found.edges
        if edge.basis == "environment"
    ]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A requirements file, in the working folder, with the versions that `pca` was saved with."""
    monkeypatch.chdir(tmp_path)
    Path("requirements.txt").write_text(PINNED)
    return Path("requirements.txt")


@pytest.mark.parametrize(
    ("line", "verdict", "row"),
    [
        ("", "valid", None),
        ("scikit-learn==1.5.0", "invalid", ("invalid", "scikit-learn 1.4.2, and requirements.txt has 1.5.0")),
        ("scikit-learn>=1.4", "unknown", ("unknown", "scikit-learn 1.4.2, and requirements.txt allows >=1.4")),
        ("scikit-learn", "unknown", ("unknown", "scikit-learn 1.4.2, and requirements.txt does not say which version")),
        ("scikit-learn==1.4.3", "valid", ("valid", "scikit-learn 1.4.2, and requirements.txt has 1.4.3")),
        ("numpy==2.1.0", "valid", ("valid", "numpy 1.26.4, and requirements.txt has 2.1.0")),
        ("numpy", "valid", None),
    ],
)
def test_a_difference_is_a_row_that_decides_the_verdict_or_is_only_a_warning(
    client: InProcessClient, file: Path, line: str, verdict: str, row: tuple[str, str] | None
) -> None:
    name = line.partition("=")[0].partition(">")[0]
    kept = [each for each in PINNED.splitlines() if not line or not each.startswith(f"{name}==")]
    file.write_text("\n".join([*kept, line]))
    found = client.validate_pipeline("iris", environment=file)
    assert (found.verdict, bool(found)) == (verdict, verdict == "valid")
    assert [str(each) for each in found.uncompared] == ["forest@1.0.0"], "labels is JSON, which needs no library"
    if row is None:
        assert rows(found) == []
    else:
        ((ends, word, reason),) = rows(found)
        begin = "only a warning: " if word == "valid" else ""
        assert (ends, word) == ("pca@1.0.0 -> environment", row[0])
        assert reason.startswith(f"{begin}pca 1.0.0 was saved with {row[1]}")
        assert repr(found) == f"<Validation iris, {verdict}, 2 of 2 edges valid, 1 difference of libraries>"
    edge, wait = client.validate("pca", "forest", environment=file), client.wait("iris", seconds=0, environment=file)
    assert rows(edge) == rows(wait) == rows(found)
    assert (edge.verdict, wait.verdict) == (verdict, verdict)


def test_this_python_is_compared_if_the_environment_is_true(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {**SAVED, "python": "3.11.0"}
    monkeypatch.setattr(libraries, "installed", here.get)
    found = client.validate_pipeline("iris", environment=True)
    reason = "only a warning: pca 1.0.0 was saved with Python 3.12.4, and this Python has 3.11.0"
    assert (found.verdict, rows(found)) == ("valid", [("pca@1.0.0 -> environment", "valid", reason)])
    del here["numpy"]
    found = client.validate_pipeline("iris", environment=True)
    assert rows(found)[0][1:] == ("invalid", "pca 1.0.0 was saved with numpy 1.26.4, and this Python does not have it")
    assert client.validate_pipeline("iris", environment=False).uncompared == ()


def test_an_edge_that_is_invalid_stays_so_and_a_past_version_is_compared(client: InProcessClient, file: Path) -> None:
    before = client.log()[0].position
    client.push("pca", b"other", format="skops", libraries={**SAVED, "skops": "0.14.0"})
    found = client.validate_pipeline("iris", environment=file)
    assert (found.verdict, [edge.basis for edge in found.edges]) == (
        "invalid",
        ["not-validated", "link", "environment"],
    )
    chosen: dict[str, Any]
    for chosen in ({"as_of": before}, {"use": "pca@1.0.0"}):
        found = client.validate_pipeline("iris", environment=file, **chosen)
        assert (found.verdict, rows(found)) == ("valid", [])


def test_a_file_of_classes_without_libraries_is_unknown(client: InProcessClient, file: Path) -> None:
    client.push("pca", b"pickled", format="joblib", valid_for="forest")
    found = client.validate_pipeline("iris", environment=file)
    reason = "pca 1.0.1 is a joblib file, and records no libraries"
    assert (found.verdict, rows(found)) == ("unknown", [("pca@1.0.1 -> environment", "unknown", reason)])


def test_an_op_without_versions_and_a_registered_one_have_nothing_to_compare(
    client: InProcessClient, file: Path
) -> None:
    client.register("untrained", fields={"major": {"a": "1"}})
    client.register_pipeline("new", ["pca", "empty", "untrained"])
    found = client.validate_pipeline("new", environment=file)
    assert (rows(found), found.uncompared) == ([], ())


def test_a_yanked_version_is_warned_about_once(client: InProcessClient, file: Path) -> None:
    client.push("pca", b"better", valid_for="forest")
    client.yank("pca@1.0.0", "old")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.validate("pca@1.0.0", "forest", environment=file)
    assert len(caught) == 1


def test_the_file_is_read_before_anything_is_requested(
    client: InProcessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def request(*_: object, **__: object) -> Any:
        raise AssertionError("a request")

    monkeypatch.setattr(client, "request", request)
    calls: list[Callable[[], Validation]] = [
        lambda: client.validate_pipeline("iris", environment="nowhere.txt"),
        lambda: client.validate("pca", "forest", environment=Path("nowhere.txt")),
        lambda: client.wait("iris", seconds=600, environment="nowhere.txt"),
    ]
    for call in calls:
        with pytest.raises(errors.FileRefused, match=r"nowhere\.txt: there is no such file"):
            call()
    wrong: Any = 5
    with pytest.raises(errors.InvalidArgument, match="environment must be True, False or the path of a file"):
        client.validate_pipeline("iris", environment=wrong)
