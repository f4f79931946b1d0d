"""The page sends the bytes of a version as a file, lists the files of a folder, and compares two versions."""

import re
from collections.abc import Iterator

import pytest

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol.folder_format import FOLDER, LINK, Entry
from opstore_daemon.store.reports import folder, folder_comparison
from opstore_daemon.web.page import ops
from tests.daemon.page.stores import folder_bytes, folders
from tests.daemon.page.test_views import seen
from tests.support.in_process import InProcessClient
from tests.support.site import Site


@pytest.fixture
def site(memory_server: OpStoreServer) -> Iterator[Site]:
    """Return a signed-in site."""
    with Listener(memory_server) as listener:
        found = Site(memory_server, listener)
        found.sign_in()
        yield found


@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_a_version_is_downloaded_as_a_file(site: Site, size: int) -> None:
    site.server.store.push("model", b"x" * size)
    assert 'href="/ui/ops/model/1.0.0/download" download' in site.text("/ui/ops/model/1.0.0")
    response = site.get("/ui/ops/model/latest/download")
    assert (response.status_code, response.content) == (200, b"x" * size)
    assert response.headers["Content-Disposition"] == 'attachment; filename="model-1.0.0"'
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_folder_is_downloaded_as_a_tar_file(site: Site) -> None:
    folders(site.server.store)
    response = site.get("/ui/ops/encoder/1.0.0/download")
    assert response.headers["Content-Disposition"] == 'attachment; filename="encoder-1.0.0.tar"'


def test_a_download_needs_a_session_and_bytes(site: Site) -> None:
    store = site.server.store
    store.push("model", b"secret")
    store.register("model", fields={"major": {"a": "b"}})
    assert "download" not in site.text("/ui/ops/model/2.0.0").partition("<main")[2]
    assert site.get("/ui/ops/model/2.0.0/download").status_code == 404
    assert site.get("/ui/ops/model/9.0.0/download").status_code == 404
    site.browser.cookies.clear()
    response = site.get("/ui/ops/model/1.0.0/download")
    assert (response.status_code, b"secret" in response.content) == (401, False)


def test_damaged_bytes_are_not_downloaded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = site.server.store
    digest = store.push("model", b"right").digest
    monkeypatch.setitem(store.saver._blobs, digest, b"wrong")  # type: ignore[attr-defined]
    assert site.get("/ui/ops/model/1.0.0/download").status_code == 500


def test_the_files_of_a_folder_are_listed(site: Site) -> None:
    folders(site.server.store)
    assert "Files Path Size config.json 2 B latest → weights/model weights / weights/model 300 kB" in seen(
        site, "/ui/ops/encoder/1.0.0"
    )
    assert "run.sh executable" in seen(site, "/ui/ops/encoder/1.0.1")


def test_only_the_headers_of_a_folder_are_read(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = site.server.store
    store.push("encoder", folder_bytes(*((f"file{number}", b"x" * 100_000) for number in range(9))), format="folder")
    opened = type(store.saver).open
    read = []

    def open_counted(saver: object, digest: object) -> object:
        file = opened(saver, digest)  # type: ignore[arg-type]
        original = file.read

        def counted(count: int = -1) -> bytes:
            data = original(count)
            read.append(len(data))
            return data

        file.read = counted  # type: ignore[method-assign]
        return file

    monkeypatch.setattr(type(store.saver), "open", open_counted)
    assert "file8" in site.text("/ui/ops/encoder/1.0.0")
    assert sum(read) == 512 * (9 + 2)


def test_a_large_folder_is_listed_in_part(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.server.store.push("encoder", folder_bytes(*((f"file{number}", b"") for number in range(6))), format="folder")
    for most_read, most_shown, text in (
        (5, 3, "Only the first 3 of more than 5 entries are shown"),
        (5, 9, "Only the first 5 of more than 5 entries are shown"),
        (6, 3, "Only the first 3 of 6 entries are shown"),
    ):
        monkeypatch.setattr(folder, "MAX_ENTRIES", most_read)
        monkeypatch.setattr(ops, "MAX_FILES", most_shown)
        page = seen(site, "/ui/ops/encoder/1.0.0")
        assert text in page
        assert page.count("file") - page.count("files") >= min(most_read, most_shown)
    monkeypatch.setattr(folder, "MAX_ENTRIES", 6)
    monkeypatch.setattr(ops, "MAX_FILES", 6)
    assert "Only the first" not in seen(site, "/ui/ops/encoder/1.0.0")


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"", "it ends early"),
        (b"no tar", "it ends early"),
        (b"x" * 2048, "a header has no valid size"),
        (folder_bytes(("a", b"b"))[:600], "it ends early"),
        (folder_bytes(("a", b"b")).replace(b"ustar", b"USTAR"), "a header is not in the form that opstore writes"),
    ],
)
def test_bytes_that_are_no_folder_are_reported(site: Site, bytes_: bytes, reason: str) -> None:
    site.server.store.push("model", bytes_, format="folder")
    page = seen(site, "/ui/ops/model/1.0.0")
    assert f"The files can't be listed: {reason}" in page


def test_names_of_files_are_shown_literally(site: Site) -> None:
    hostile = b"<script>alert(1)</script>\xe2\x80\xae"
    stream = folder_bytes(Entry(hostile, FOLDER), Entry(hostile + b"z", LINK, target=hostile))
    site.server.store.push("model", stream, format="folder")
    shown = hostile.decode().replace("\u202e", "\\u202e")
    assert shown in seen(site, "/ui/ops/model/1.0.0")
    assert "<script>alert" not in site.text("/ui/ops/model/1.0.0")


def test_two_versions_are_compared(site: Site) -> None:
    folders(site.server.store)
    page = seen(site, "/ui/compare?one=encoder@1.0.0&other=encoder@latest")
    for text in (
        "Message of spring none",
        "Label data April July",
        "Library torch 2.9.0 2.10.0",
        "The same in both: Op , Label team , Format , Major subversion , Minor subversion .",
        "latest link to weights/model not there",
        "run.sh not there 0 B , executable",
        "weights/model 300 kB 310 kB",
        "2 entries are the same.",
    ):
        assert text in page, text
    assert "config.json" not in page


def test_files_of_one_size_are_compared_by_their_contents(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    store = site.server.store
    files = [("a", b"x" * 900), ("b", b"1" * 100), ("c", b"2" * 100), ("d", b"")]
    store.push("model", folder_bytes(*files), format="folder")
    files[1] = ("b", b"1" * 99 + b"9")
    store.push("model", folder_bytes(*files), format="folder")
    path = "/ui/compare?one=model@1.0.0&other=model@1.0.1"
    page = seen(site, path)
    assert "Files Path model@1.0.0 model@1.0.1 b 100 B 100 B , other content 3 entries are the same." in page
    assert "opstore diff" not in page
    monkeypatch.setattr(folder_comparison, "MAX_BYTES", 150)
    page = seen(site, path)
    assert "b 100 B 100 B , other content 1 entry is the same. 2 files have the same size and were not compared" in page
    assert "opstore diff model@1.0.0 model@1.0.1 --files" in page
    monkeypatch.setattr(folder_comparison, "MAX_BYTES", 0)
    assert "No difference was found. 1 entry is the same. 3 files have the same size" in seen(site, path)
    assert "The files are the same. 4 entries" in seen(site, path.replace("1.0.1", "1.0.0"))
    monkeypatch.setattr(folder, "MAX_ENTRIES", 2)
    assert "No difference was found. 0 entries are the same" in seen(site, path)


def test_the_page_and_diff_list_the_same_fields(site: Site) -> None:
    """Both have the list of protocol.comparison; the page shows what is the same, too."""
    folders(site.server.store)
    found = InProcessClient(site.server).diff("encoder@1.0.0", "encoder@1.0.1", files=False)
    page = site.text("/ui/compare?one=encoder@1.0.0&other=encoder@1.0.1").partition('id="files"')[0]
    headings = re.findall(r'<th scope="row" class="prose"><bdi>([^<]*)</bdi>', page)
    shown = [each.lower().removesuffix(" subversion") for each in headings]
    assert shown == [each.field.removesuffix("_at") for each in found.fields]


def test_the_name_of_the_stored_file_is_shown_and_its_suffix_kept(site: Site) -> None:
    store = site.server.store
    store.push("model", b"1", filename="of May <b>.joblib.gz", executable=True)
    store.push("model", b"2", filename="x.ba\u202ed")
    assert "File: of May <b>.joblib.gz (executable)" in seen(site, "/ui/ops/model/1.0.0")
    assert "File: x.ba\\u202ed" in seen(site, "/ui/ops/model/1.0.1")
    for number, name in (("1.0.0", "model-1.0.0.joblib.gz"), ("1.0.1", "model-1.0.1")):
        response = site.get(f"/ui/ops/model/{number}/download")
        assert response.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    page = seen(site, "/ui/compare?one=model@1.0.0&other=model@1.0.1")
    assert "File of May <b>.joblib.gz x.ba\\u202ed Executable yes none" in page


def test_a_version_is_compared_with_one_of_another_op_and_with_itself(site: Site) -> None:
    store = site.server.store
    folders(store)
    store.push("other", b"bytes")
    page = seen(site, "/ui/compare?one=encoder@1.0.0&other=other")
    assert "Format folder none" in page
    assert "Files" not in page
    assert "the two versions have the same fields" in seen(site, "/ui/compare?one=encoder@1.0.0&other=encoder@1.0.0")
    assert site.get("/ui/compare?one=encoder@1.0.0&other=nothing").status_code == 404
    assert site.get("/ui/compare?one=encoder@1.0.0").status_code == 400


def test_a_version_offers_the_one_before_it_for_comparison(site: Site) -> None:
    store = site.server.store
    for number in range(4):
        store.push("model", b"bytes" * number)
    body = site.text("/ui/ops/model/1.0.2")
    assert re.findall(r'<option value="model@([\d.]+)"', body) == ["1.0.1", "1.0.0", "1.0.3"]
    store.push("single", b"bytes")
    assert "<option" not in site.text("/ui/ops/single/1.0.0")
