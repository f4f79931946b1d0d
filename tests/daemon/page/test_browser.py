"""The page in a real browser: readable at three widths, by keyboard and screen reader, and closed to other sites."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest

from tests.daemon.page.browser import HEIGHT
from tests.daemon.page.stores import SHOWN
from tests.daemon.page.test_views import VIEWS
from tests.support import examples
from tests.support.figures import few
from tests.support.http_thread import Handler, HttpThread
from tests.support.site import Site

if TYPE_CHECKING:  # each worker of the tests reads this file, and one needs a browser
    from playwright.sync_api import Browser, Page

WIDTHS = [360, 800, 1440]

# The pages that have the most parts between them: each takes half a second, axe-core included.
FAST = {"home", "op", "graph", "matrix", "journal"}
OF_MANY_OPS = {
    "home": "/",
    "next page": "/?after=op_0049",
    "pipelines": "/ui/pipelines",
    "pipeline": "/ui/pipelines/all",
    "journal": "/ui/journal",
    "search": "/ui/search?q=op_",
}
OF_MANY_VERSIONS = {
    "home": "/",
    "op": "/ui/ops/upstream",
    "version": "/ui/ops/upstream/500.5.5",
    "matrix": "/ui/matrix/upstream/downstream",
    "part of the matrix": "/ui/matrix/upstream/downstream?row=50000&column=50000",
    "pipeline": "/ui/pipelines/chain",
    "journal": "/ui/journal",
}


class Watched:
    """A tab with a session, which records everything that goes wrong."""

    def __init__(self, tab: "Page", site: Site) -> None:
        self.tab, self.site = tab, site
        self.faults: list[str] = []
        self.asked: list[str] = []
        tab.on("console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: self.faults.append(str(error)))
        tab.on("request", lambda request: self.asked.append(request.url))
        tab.goto(site.url + site.invite())
        assert tab.url == f"{site.url}/", "the code is not in the address any more"

    def begin(self) -> None:
        """Forget what an earlier test saw, and how it looked at it."""
        self.faults.clear()
        self.asked.clear()
        self.tab.emulate_media(color_scheme="light", media="screen")
        self.tab.mouse.move(0, 0)

    def look(self, path: str, width: int = 1440) -> None:
        self.tab.set_viewport_size({"width": width, "height": HEIGHT})
        answer = self.tab.goto(self.site.url + path)
        assert answer is not None
        wanted = 404 if path.endswith("/nothing") else 200
        assert answer.status == wanted
        if wanted != 200:
            self.faults.clear()  # the browser calls any 404 an error

    def check(self) -> None:
        """Check that nothing failed or was loaded from another site, and that the page fits into the window."""
        assert self.faults == []
        for url in self.asked:
            assert url.startswith((f"{self.site.url}/", "data:image/svg+xml,")), url
        wide = self.tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, "it has to be scrolled sideways"


def axe(tab: "Page") -> list[str]:
    """Return all violations that axe-core finds (dequeuniversity.com/rules/axe)."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(tab, options={"resultTypes": ["violations"]}).response["violations"]
    return [f"{each['id']} ({each['impact']}): {each['help']}: {each['nodes'][0]['html'][:200]}" for each in found]


@pytest.fixture(scope="module")
def shared(chromium: "Browser", few: Site) -> Iterator[Watched]:
    """A tab for all tests that only look."""
    with chromium.new_context() as context:
        yield Watched(context.new_page(), few)


@pytest.fixture
def watched(shared: Watched) -> Watched:
    shared.begin()
    return shared


def _views() -> Iterator[object]:
    """Yield each view in both schemes. The fast tests have those of most parts, in the light one."""
    for view in VIEWS:
        for scheme in ("light", "dark"):
            is_fast = scheme == "light" and view in FAST
            yield pytest.param(view, scheme, marks=[] if is_fast else pytest.mark.slow)


@pytest.mark.parametrize(("view", "scheme"), few(1, list(_views())))
def test_a_view_of_a_few_ops(watched: Watched, view: str, scheme: Any) -> None:
    watched.tab.emulate_media(color_scheme=scheme)
    for width in WIDTHS if examples.is_all() else WIDTHS[:1]:
        watched.look(VIEWS[view], width)
        watched.check()
        assert axe(watched.tab) == []


@pytest.mark.slow
@pytest.mark.parametrize("view", OF_MANY_OPS)
def test_a_view_of_500_ops(tab: "Page", many_ops: Site, view: str) -> None:
    watched = Watched(tab, many_ops)
    for width in WIDTHS:
        watched.look(OF_MANY_OPS[view], width)
        watched.check()
    if view != "pipeline":  # axe compares each pair of its 500 boxes
        assert axe(tab) == []


@pytest.mark.slow
@pytest.mark.parametrize("view", OF_MANY_VERSIONS)
def test_a_view_of_100_000_versions(tab: "Page", many_versions: Site, view: str) -> None:
    watched = Watched(tab, many_versions)
    for width in WIDTHS:
        watched.look(OF_MANY_VERSIONS[view], width)
        watched.check()
    if "matrix" not in view:
        assert axe(tab) == []


@pytest.mark.slow
def test_a_page_can_be_printed(watched: Watched) -> None:
    watched.tab.emulate_media(media="print")
    for view in ("op", "graph", "journal"):
        watched.look(VIEWS[view], 794)  # of a sheet A4
        watched.check()
        cut = watched.tab.evaluate("[...document.querySelectorAll('.wide')].some(e => e.scrollWidth > e.clientWidth)")
        assert not cut, view
        assert not watched.tab.locator("form, button").filter(visible=True).count()
    exact = watched.tab.evaluate("getComputedStyle(document.querySelector('time'), '::after').content")
    assert re.fullmatch(r'" \(" attr\(title\) "\)"|" \([-0-9]+ [:0-9]+ UTC\)"', exact), (
        "how long ago is of no use on paper"
    )


@pytest.mark.slow
def test_the_page_can_be_used_by_keyboard_alone(watched: Watched) -> None:
    tab = watched.tab
    watched.look("/")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert tab.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen while it has the focus"
    tab.keyboard.press("Enter")
    _tab_to(tab, "churn")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/ui/pipelines/churn")
    _tab_to(tab, "all versions", attribute="All versions of pca and random_forest")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/ui/matrix/pca/random_forest")
    _tab_to(tab, "!")
    reason = tab.evaluate("getComputedStyle(document.activeElement, '::after').content")
    assert reason.strip('"').startswith("not validated: pca 2.0.0 is not validated"), "the reason is on the cell"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/ui/edge?**")
    _tab_to(tab, "pca@2.0.0")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/ui/ops/pca/2.0.0")
    tab.get_by_role("searchbox").focus()
    tab.keyboard.type("random_forest@1.0.0")
    tab.keyboard.press("Enter")
    tab.get_by_role("link", name="random_forest@1.0.0").wait_for()
    watched.check()


def test_the_matrix_can_be_used_by_arrow_keys_and_skipped(watched: Watched) -> None:
    tab = watched.tab
    watched.look("/ui/matrix/pca/random_forest")
    tab.get_by_role("link", name="not validated: pca 2.0.0 is not validated for random_forest 1.2.0").focus()
    for key, number in (("ArrowDown", "1.3.0"), ("ArrowDown", "1.2.0"), ("ArrowUp", "1.3.0")):
        tab.keyboard.press(key)
        assert f"pca {number}" in tab.evaluate("document.activeElement.getAttribute('aria-label')")
    tab.keyboard.press("ArrowRight")
    assert "random_forest 1.1.0" in tab.evaluate("document.activeElement.getAttribute('aria-label')")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight"):
        tab.keyboard.press(key)
    assert "random_forest 1.0.0" in tab.evaluate("document.activeElement.getAttribute('aria-label')"), "at the edge"
    watched.look("/ui/matrix/pca/random_forest")
    _tab_to(tab, "Skip the matrix")
    tab.keyboard.press("Enter")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "Log out"
    watched.check()


def _tab_to(tab: "Page", text: str, attribute: str | None = None) -> None:
    """Press Tab until the focused element has this text."""
    for _ in range(200):
        tab.keyboard.press("Tab")
        found = tab.evaluate("document.activeElement.textContent.trim()")
        if found == text and attribute in (None, tab.evaluate("document.activeElement.getAttribute('aria-label')")):
            outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"nobody sees that {text} has the focus"
            return
    raise AssertionError(f"Tab does not lead to {text}")


def test_a_pointer_finds_the_reason_on_a_cell(watched: Watched) -> None:
    watched.look("/ui/matrix/pca/random_forest")
    watched.tab.get_by_role("link", name="invalid: pca 2.0.0 is known not to be valid").hover()
    content = watched.tab.evaluate("getComputedStyle(document.querySelector('td a:hover'), '::after').content")
    assert "is known not to be valid for random_forest 1.1.0" in content


def test_a_screen_reader_finds_headings_cells_and_regions(watched: Watched) -> None:
    tab = watched.tab
    watched.look("/ui/matrix/pca/random_forest")
    assert tab.get_by_role("columnheader", name="1.2.0").count() == 1
    assert tab.get_by_role("rowheader", name="1.3.0").count() == 1
    assert tab.get_by_role("table", name="pca 1.0.0 to 2.0.0, random_forest 1.0.0 to 1.2.0").count() == 1
    watched.look("/ui/pipelines/churn")
    assert tab.get_by_role("heading", level=1).count() == 1
    assert tab.get_by_role("navigation", name="Main").count() == 1
    assert tab.get_by_role("group", name="The pipeline churn: 4 ops, 3 edges").count() == 1
    assert tab.get_by_role("main").count() == 1


def test_a_command_is_copied(watched: Watched) -> None:
    watched.tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched.look("/ui/ops/pca/1.2.0")
    watched.tab.get_by_role("button", name="Copy: opstore pull pca@1.2.0").click()
    watched.tab.get_by_text("Copied").wait_for()
    assert watched.tab.evaluate("navigator.clipboard.readText()") == "opstore pull pca@1.2.0"
    watched.check()


@pytest.mark.slow
def test_the_page_works_without_javascript(chromium: "Browser", few: Site) -> None:
    tab = chromium.new_page(java_script_enabled=False)
    tab.goto(few.url + few.invite())
    assert tab.get_by_role("button", name="Copy").count() == 0
    tab.get_by_role("link", name="churn").first.click()
    tab.get_by_role("link", name="All versions of pca and random_forest").click()
    tab.get_by_role("link", name="invalid: pca 2.0.0 is known not to be valid").click()
    assert tab.get_by_text("evaluation 21: auc 0.52").is_visible()
    tab.get_by_text("As of now", exact=True).click()
    tab.get_by_label("Show the store as of").fill("2026-05-06T10:00")
    tab.get_by_role("button", name="Show").click()
    assert "as_of=2026-05-06T10%3A00" in tab.url
    tab.close()


@pytest.mark.slow
def test_user_text_is_shown_literally(watched: Watched) -> None:
    tab = watched.tab
    for path in ("/ui/ops/op/1.0.0", "/ui/ops/op", "/ui/journal", "/ui/edge?upstream=op@1.0.0&downstream=down"):
        watched.look(path)
        assert tab.title() != "run"
        assert tab.locator("bdi", has_text=re.compile("^<b>bold</b>")).first.text_content() == SHOWN
        assert tab.locator("main b b, main bdi b").count() == 0
    watched.check()


def test_right_to_left_text_does_not_reorder_other_cells(watched: Watched) -> None:
    """The other cells of the row stay in their order."""
    watched.look("/ui/ops/down")
    row = watched.tab.locator("tbody tr").first
    boxes = [cell.bounding_box() for cell in row.locator("th, td").all()]
    lefts = [box["x"] for box in boxes if box is not None]
    assert lefts == sorted(lefts)


@contextmanager
def foreign(body: str) -> Iterator[str]:
    """Serve another site on this machine: the same site for a browser, which ignores the port."""

    class Foreign(Handler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(body.encode())
            self.close_connection = True

    with HttpThread(Foreign) as server:
        yield f"{server.url}/"


@pytest.mark.slow
def test_a_foreign_page_can_neither_read_nor_frame_the_page(tab: "Page", few: Site) -> None:
    watched = Watched(tab, few)
    body = f"""<iframe id=frame src="{watched.site.url}/"></iframe>
    <img id=image src="{watched.site.url}/ui/matrix/pca/random_forest/map.svg">
    <script>window.read = fetch("{watched.site.url}/", {{credentials: "include"}}).then(r => r.text(), e => "refused");
    </script>"""
    for host in ("127.0.0.1", "localhost"):
        with foreign(body) as url:
            tab.goto(url.replace("127.0.0.1", host))
            assert tab.evaluate("window.read") == "refused"
            assert tab.evaluate("document.getElementById('image').naturalWidth") == 0
            frame = tab.frames[1]
            frame.wait_for_load_state()
            assert "churn" not in frame.content()
            opened = tab.evaluate(f"(window.other = window.open('{watched.site.url}/')) !== null")
            assert opened
            tab.wait_for_function("() => { try { return window.other.closed } catch { return true } }")


@pytest.mark.slow
def test_logging_out_in_the_browser_ends_the_session(tab: "Page", few: Site) -> None:
    watched = Watched(tab, few)
    tab.get_by_role("button", name="Log out").click()
    assert tab.get_by_role("heading", name="Logged out").is_visible()
    assert axe(tab) == []
    tab.goto(few.url)
    assert tab.get_by_text("opstore open", exact=True).is_visible()
    assert axe(tab) == []
    assert watched.asked
