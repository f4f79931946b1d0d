"""What arrives in another store, directly or by way of an export."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from opstore_cli.client.base import BaseOpStoreClient
from opstore_cli.exchange.content import BytesSource, Content
from opstore_cli.exchange.delivery import Delivery, DeliveryReport
from opstore_cli.exchange.folder import BLOBS, DESCRIPTION, ExportedBytes, read_export, write_export
from opstore_cli.exchange.selection import StoreBytes, select
from opstore_cli.output.skipped import Skipped
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from opstore_daemon.protocol.records import VersionRecord
from opstore_daemon.protocol.references import Reference
from opstore_daemon.savers import MemorySaver
from tests.support.figures import few
from tests.support.in_process import InProcessClient

pytestmark = pytest.mark.filterwarnings("ignore::opstore_cli.client.warnings.YankedWarning")

NEWER = b'{"format": 2, "release": "9.0", "exported_at": "2026-01-01T00:00:00Z", "content": {}}'

Way = Callable[[Content, BytesSource], tuple[Content, BytesSource]]


def make_client() -> BaseOpStoreClient:
    return InProcessClient(OpStoreServer(MemorySaver()))


@pytest.fixture
def first() -> BaseOpStoreClient:
    """Return a client of a store with two linked ops in a pipeline, and an op that is only registered."""
    client = make_client()
    client.push("pca", b"one", labels={"run": "1"}, message="round 1", filename="pca.bin", executable=True)
    client.push("pca", b"two", bump="major", tags=["best"], format="joblib", libraries={"numpy": "2.1"})
    client.push("forest", b"trees", valid_with=["pca@2.0.0"])
    client.register("loader", fields={"major": {"path": "x"}}, valid_for=["pca@any"])
    client.link("pca@1.0.0", "forest@1.0.0", valid=False, evidence="accuracy 0.4")
    client.set_op("pca", compat="minor", description="components")
    client.yank("pca@1.0.0", "wrong columns")
    client.register_pipeline("churn", ["loader", "pca", "forest"])
    return client


@pytest.fixture
def second() -> BaseOpStoreClient:
    """Return a client of an empty store."""
    return make_client()


@pytest.fixture(params=["directly", "by an export"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Way:
    """Return a function that passes the content on: as it is, or through a folder."""

    def export(content: Content, source: BytesSource) -> tuple[Content, BytesSource]:
        write_export(tmp_path / "export", content, source)
        return read_export(tmp_path / "export"), ExportedBytes(tmp_path / "export")

    return export if request.param == "by an export" else lambda content, source: (content, source)


def deliver(client: BaseOpStoreClient, content: Content, source: BytesSource) -> DeliveryReport:
    skip: Callable[[str, str, str], Skipped] = lambda what, name, reason: Skipped(what, name, reason, None)  # noqa: E731
    return Delivery(client, content, source, on_created=lambda _: None, skip=skip).run()


def copy(
    first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way, *ops: str, pipelines: Sequence[str] = ()
) -> DeliveryReport:
    """Copy all versions of these ops, and what the pipelines resolve to."""
    content = select(first, [Reference.parse(op) for op in ops], pipelines, all_versions=True)
    return deliver(second, *way(content, StoreBytes(first)))


def facts(client: BaseOpStoreClient) -> dict[str, Any]:
    """Return what both stores must have in common, without times, authors and positions."""
    own = {"position", "registered_at", "author"}
    return {
        "versions": [
            {key: value for key, value in record.to_dict().items() if key not in own}
            for op in client.ops()
            for record in client.versions(op.name)
        ],
        "bytes": {
            str(record): client.pull(str(record))
            for op in client.ops()
            for record in client.versions(op.name)
            if record.digest
        },
        "ops": client.ops(),
        "links": {(str(link), link.evidence) for link in client.links()},
        "pipelines": [(each.name, each.ops, each.edges) for each in client.pipelines()],
    }


def test_another_store_gets_versions_with_everything_that_belongs_to_them(
    first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way
) -> None:
    done = copy(first, second, way, "pca", "forest", "loader", pipelines=["churn"])
    assert (len(done.created), done.unchanged, done.links, done.tags, done.pipelines, done.skipped) == (
        4,
        0,
        3,
        ["pca@best"],
        ["churn"],
        [],
    )
    assert facts(second) == facts(first)
    assert second.validate_pipeline("churn").verdict == "valid"


def test_a_repetition_copies_only_what_is_new(first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way) -> None:
    copy(first, second, way, "pca", "forest", pipelines=["churn"])
    first.push("pca", b"three", valid_for=["forest@1.0.0"])
    done = copy(first, second, way, "pca", "forest", pipelines=["churn"])
    assert ([str(each) for each in done.created], done.unchanged, done.links) == (["pca@2.0.1"], 4, 1)
    assert (done.tags, done.pipelines, done.skipped) == ([], [], [])


def test_what_the_other_store_has_stays_as_it_is(first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way) -> None:
    copy(first, second, way, "pca", "forest")
    second.unlink("pca@2.0.0", "forest@1.0.0")
    second.tag("pca@1.0.0", "best")
    second.set_op("pca", compat="exact", description="mine")
    second.register_pipeline("churn", ["pca", "forest"])
    done = copy(first, second, way, "pca", "forest", "loader", pipelines=["churn"])
    assert [(each.what, each.name, each.reason) for each in done.skipped] == [
        ("tag", "pca@best", "it is on version 1.0.0, where it stays"),
        ("pipeline", "churn", "the pipeline churn is registered already, with another graph"),
    ]
    assert [str(link) for link in second.links("forest")] == ["pca@1.0.0 -> forest@1.0.0: invalid"]
    assert (second.op("pca").compat, second.op("pca").description) == ("exact", "mine")


def test_a_version_with_other_bytes_or_a_number_of_its_own(
    first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way
) -> None:
    second.push("pca", b"local")
    second.push("forest", b"mine", subversions=first.show("forest").subversions)
    done = copy(first, second, way, "pca", "forest")
    assert [str(each) for each in done.created] == ["pca@1.0.0 -> pca@1.0.1", "pca@2.0.0"]
    assert [(each.what, each.name, each.reason) for each in done.skipped] == [
        ("version", "forest@1.0.0", "forest@1.0.0 has the same subversions and other bytes, which stay")
    ]
    assert (second.pull("pca@1.0.1"), second.pull("forest")) == (b"one", b"mine")
    assert second.links() == []  # they lead to the version that was skipped


def test_a_registered_version_gets_its_bytes(first: BaseOpStoreClient, second: BaseOpStoreClient, way: Way) -> None:
    second.register("forest", subversions=first.show("forest").subversions)
    assert [str(each) for each in copy(first, second, way, "forest").created] == ["forest@1.0.0"]
    assert second.pull("forest") == b"trees"


def test_only_the_selected_versions_are_copied(first: BaseOpStoreClient, second: BaseOpStoreClient) -> None:
    content = select(first, [Reference.parse("pca@2.0.0")], ["churn"])
    assert [str(version) for version in content.versions] == ["pca@2.0.0", "forest@1.0.0", "loader@1.0.0"]
    assert {str(link) for link in content.links} == {
        "pca@2.0.0 -> forest@1.0.0: valid",
        "loader@1.0.0 -> pca@any: valid",
    }
    with pytest.raises(errors.VersionNotFound):
        select(first, [Reference.parse("pca@3")])


class Interrupted:
    """Bytes that are there once, before the connection breaks."""

    def __init__(self, source: BytesSource) -> None:
        self._source, self._left = source, 1

    @contextmanager
    def open(self, version: VersionRecord) -> Iterator[BinaryIO]:
        self._left -= 1
        if self._left < 0:
            raise errors.ConnectionLost(url="http://first", reason="cut")
        with self._source.open(version) as file:
            yield file


def test_a_copy_that_was_interrupted_is_completed_by_the_next(
    first: BaseOpStoreClient, second: BaseOpStoreClient
) -> None:
    content = select(first, [Reference.parse("pca"), Reference.parse("forest")], all_versions=True)
    source = StoreBytes(first)
    with pytest.raises(errors.ConnectionLost):
        deliver(second, content, Interrupted(source))
    done = deliver(second, content, source)
    assert ([str(each) for each in done.created], done.unchanged) == (["pca@2.0.0", "forest@1.0.0"], 1)
    assert {str(link) for link in second.links()} == {str(link) for link in content.links}


def test_an_export_that_was_interrupted_is_none_and_is_completed_by_the_next(
    first: BaseOpStoreClient, tmp_path: Path
) -> None:
    content = select(first, [Reference.parse("pca")], all_versions=True)
    with pytest.raises(errors.ConnectionLost):
        write_export(tmp_path, content, Interrupted(StoreBytes(first)))
    with pytest.raises(errors.FileRefused, match="run it again"):
        read_export(tmp_path)
    assert write_export(tmp_path, content, StoreBytes(first)) == 3
    assert read_export(tmp_path) == content
    assert sorted(path.name for path in tmp_path.iterdir()) == [BLOBS, DESCRIPTION]


def test_an_export_that_is_repeated_and_interrupted_can_not_be_imported(
    first: BaseOpStoreClient, tmp_path: Path
) -> None:
    write_export(tmp_path, select(first, [Reference.parse("pca")]), StoreBytes(first))
    content = select(first, [Reference.parse("pca"), Reference.parse("forest")])
    source = Interrupted(StoreBytes(first))
    with pytest.raises(errors.ConnectionLost), source.open(content.versions[0]):
        write_export(tmp_path, content, source)
    with pytest.raises(errors.FileRefused, match="run it again"):
        read_export(tmp_path)


@pytest.mark.parametrize("damage", few(2, ["a bit", "short", "gone", "folder", "link"]))
def test_damaged_bytes_of_an_export_are_neither_imported_nor_kept_by_the_next_export(
    damage: str, first: BaseOpStoreClient, second: BaseOpStoreClient, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    content = select(first, [Reference.parse("pca"), Reference.parse("forest")], all_versions=True)
    write_export(export, content, StoreBytes(first))
    path = export / BLOBS / (first.show("forest").digest or "").removeprefix("sha256:")
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "link":
        path.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").write_bytes(b"trees")
    elif damage != "gone":
        path.write_bytes(b"tree" if damage == "short" else b"treeS")
    done = deliver(second, read_export(export), ExportedBytes(export))
    assert [(each.what, each.name) for each in done.skipped] == [("version", "forest@1.0.0")]
    assert [op.name for op in second.ops()] == ["pca"]
    if damage != "folder":
        assert write_export(export, content, StoreBytes(first)) == 5
        assert deliver(second, read_export(export), ExportedBytes(export)).skipped == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"{", "is not the description"),
        (b"\xff", "is not the description"),
        (NEWER, "format 2"),
        (b'{"format": 1, "release": "9.0", "exported_at": "2026-01-01T00:00:00Z"}', "is not the description"),
        (None, "it is no export"),
    ],
)
def test_a_folder_that_is_no_export_is_refused(text: bytes | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / DESCRIPTION).write_bytes(text)
    with pytest.raises(errors.FileRefused, match=words):
        read_export(tmp_path)


def test_a_digest_in_an_export_is_no_path(first: BaseOpStoreClient, tmp_path: Path) -> None:
    content = select(first, [Reference.parse("pca")])
    write_export(tmp_path, content, StoreBytes(first))
    path = tmp_path / DESCRIPTION
    path.write_text(path.read_text().replace(content.versions[0].digest or "", "sha256:../../../etc/passwd"))
    with pytest.raises(errors.FileRefused, match="is not the description"):
        read_export(tmp_path)


def test_an_export_into_a_folder_with_other_files_is_refused(first: BaseOpStoreClient, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(errors.FileRefused, match=r"thesis\.tex"):
        write_export(tmp_path, select(first, [Reference.parse("pca")]), StoreBytes(first))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_bytes_that_are_damaged_in_the_first_store_are_reported(
    first: BaseOpStoreClient, second: BaseOpStoreClient
) -> None:
    class Damaged:
        @contextmanager
        def open(self, version: VersionRecord) -> Iterator[BinaryIO]:
            if version.op == "pca":
                raise errors.BlobDamaged(digest=version.digest, reason="other bytes")
            yield io.BytesIO(b"trees")

    done = deliver(second, select(first, [Reference.parse("pca"), Reference.parse("forest")]), Damaged())
    assert ([each.name for each in done.skipped], [op.name for op in second.ops()]) == (["pca@2.0.0"], ["forest"])
