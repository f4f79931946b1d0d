"""What each view of the page shows, over HTTP."""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.records import NewBisection
from opstore_daemon.store.reports import overview
from opstore_daemon.store.reports.history import ACTIONS
from opstore_daemon.web.page.looks import look
from tests.daemon.page.stores import HOSTILE, SHOWN, many_ops
from tests.support.figures import few
from tests.support.new_run import new_run
from tests.support.site import Site

VIEWS = {
    "home": "/",
    "sorted ops": "/?sort=-size&filter=a",
    "op": "/ui/ops/pca",
    "version": "/ui/ops/pca/1.2.0",
    "yanked": "/ui/ops/tokenizer/1.0.0",
    "registered only": "/ui/ops/scaler/1.0.0",
    "folder": "/ui/ops/encoder/1.0.1",
    "comparison": "/ui/compare?one=encoder@1.0.0&other=encoder@1.0.1",
    "sorted": "/ui/ops/pca?sort=-size&filter=week",
    "hostile": "/ui/ops/op/1.0.0",
    "matrix": "/ui/matrix/pca/random_forest",
    "edge": "/ui/edge?upstream=pca@2.0.0&downstream=random_forest@1.1.0",
    "pipelines": "/ui/pipelines",
    "pipeline": "/ui/pipelines/churn",
    "graph": "/ui/pipelines/reviews",
    "long names": f"/ui/pipelines/{'x' * 128}",
    "long names in a matrix": f"/ui/matrix/down/{'n' * 128}",
    "runs": "/ui/runs",
    "run": "/ui/runs/36",
    "hostile run": "/ui/runs/38",
    "journal": "/ui/journal",
    "search": "/ui/search?q=pca",
    "nothing found": "/ui/search?q=zzz",
    "as it was": "/ui/ops/pca?as_of=2026-05-06T10:00",
    "not there": "/ui/ops/nothing",
}


class Text(HTMLParser):
    """The visible text of an HTML page, its elements, and the targets of its links."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[str] = []
        self.leads: list[str] = []
        self._hidden = 0
        self.feed(body)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.leads += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def seen(site: Site, path: str) -> str:
    return Text(site.text(path)).text


@pytest.mark.parametrize("view", few(6, VIEWS))
def test_a_view_links_to_no_other_site_and_has_one_heading(few: Site, view: str) -> None:
    found = Text(few.get(VIEWS[view]).text)
    assert found.elements.count("h1") == 1
    assert found.elements.count("script") == 1, "its own, whose digest the policy names"
    for lead in found.leads:
        assert lead.startswith(("/", "#", "?", "data:image/svg+xml,")), lead
        assert not lead.startswith("//")


def test_home_shows_ops_with_their_latest_versions_and_sizes(few: Site) -> None:
    text = seen(few, "/")
    assert re.search(r"cleaner 1\.1\.0 \d+ (hour|day)s? ago 1\.8 MB 2 major", text)
    assert re.search(r"scaler 1\.0\.0 \d+ (hour|day)s? ago not stored 1 exact", text)
    assert "churn ! not validated cleaner tokenizer pca random_forest 3 1" in text
    assert "reviews ! not validated cleaner , scaler , tokenizer , pca , random_forest 6 4" in text


def test_home_is_paged_by_name(site: Site) -> None:
    many_ops(site.server.store, 60)
    site.sign_in()
    first = site.text("/")
    after = re.search(r'rel="next" href="([^"]*)"', first)
    assert after is not None
    second = seen(site, after[1].replace("&amp;", "&"))
    assert "op_0050 1.0.0" in second
    assert "op_0049 1.0.0" not in second


def test_an_op_shows_versions_tags_yanks_and_related_ops(few: Site) -> None:
    text = seen(few, "/ui/ops/pca")
    assert "Upstream tokenizer ( matrix ) Downstream random_forest ( matrix ) Pipelines churn reviews" in text
    assert "production pca @1.2.0" in text
    row = r"1\.2\.0 ✓ valid tokenizer ✓ valid random_forest production trained in week 3 "
    assert re.search(row + r"\d+ (hour|day)s? ago 1\.6 MB [0-9a-f]{12}", text)
    assert "2.0.0 latest ✓ valid tokenizer ! not validated random_forest" in text
    assert "Shell opstore pull pca" in text
    assert (
        'Python from opstore_cli import OpStoreClient with OpStoreClient() as client: client.pull("pca", "pca")' in text
    )
    assert text.index("Versions") < text.index("opstore pull pca")
    assert "1.0.0 yanked" in seen(few, "/ui/ops/tokenizer")
    assert "Yanked: trained on the test set" in seen(few, "/ui/ops/tokenizer")


def test_a_version_shows_its_record_and_its_verdicts(few: Site) -> None:
    text = seen(few, "/ui/ops/pca/1.2.0")
    record = few.server.store.show("pca@1.2.0")
    registered = f"{record.registered_at:%Y-%m-%d %H:%M:%S UTC}"
    for word in (record.digest, record.subversions, f"{record.size:,} bytes", registered, "production"):
        assert str(word) in text
    assert "opstore pull pca@1.2.0" in text
    assert "✓ valid tokenizer @1.2.0 pca @1.2.0 tokenizer 1.2.0 is valid for any version of pca" in text
    assert "✓ valid pca @1.2.0 random_forest @1.2.0" in text
    assert "registered only, without bytes" in seen(few, "/ui/ops/scaler/1.0.0")
    assert "This version is yanked: trained on the test set" in seen(few, "/ui/ops/tokenizer/1.0.0")


def test_the_author_of_a_version_and_of_a_change_is_shown(site: Site) -> None:
    site.server.store.by("Zoë <zoe@example.org>").push("pca", b"one")
    site.server.store.tag("pca", "best")
    site.sign_in()
    assert "by Zoë <zoe@example.org> 3 B" in seen(site, "/ui/ops/pca/1.0.0")
    assert re.search(r"Author Registered ↓.* 1\.0\.0 latest best Zoë <zoe@example\.org> ", seen(site, "/ui/ops/pca"))
    site.server.store.push("other", b"two")
    assert "Author" not in seen(site, "/ui/ops/other")
    assert "Author" not in seen(site, "/ui/journal?name=other")
    assert re.search(
        r"2 \d+ \w+ ago pca @1\.0\.0 tagged .* 1 \d+ \w+ ago Zoë <zoe@example\.org> pca @1\.0\.0 stored",
        seen(site, "/ui/journal"),
    )


def test_a_version_is_found_by_any_selector(few: Site) -> None:
    assert "pca @1.2.0" in seen(few, "/ui/ops/pca/production")


def test_the_matrix_has_each_verdict_with_its_reason(few: Site) -> None:
    body = few.text("/ui/matrix/pca/random_forest")
    cells = re.findall(r'<td class="([\w-]+)"><a href="([^"]+)" aria-label="([\w ]+): ([^"]+)"', body)
    assert len(cells) == 5 * 3
    store = few.server.store
    for word, lead, said, reason in cells:
        ends = re.search(r"upstream=([^&]+)&(?:amp;)?downstream=([^&]+)", lead)
        assert ends is not None
        up, down = (end.replace("%40", "@") for end in ends.groups())
        verdict = store.validate(up, down).edges[0]
        assert (word, said, reason) == (look(verdict).name, look(verdict).text, verdict.reason)
    assert {word for word, *_ in cells} == {"valid", "known-invalid", "not-validated"}


def test_a_cell_links_to_its_verdict_and_links(few: Site) -> None:
    text = seen(few, VIEWS["edge"])
    assert "✕ known invalid pca 2.0.0 is known not to be valid for random_forest 1.1.0" in text
    assert "evaluation 21: auc 0.52" in text
    assert "opstore link pca@2.0.0 random_forest@1.1.0 --evidence TEXT" in text


@pytest.mark.slow
def test_a_large_matrix_is_shown_in_parts(many_versions: Site) -> None:
    many_versions.sign_in()
    first = many_versions.text("/ui/matrix/upstream/downstream")
    assert len(re.findall('aria-label="(valid|known invalid|not validated): ', first)) == 25 * 25
    assert len(re.findall("from sequence", first)) == 20 * 20
    part = many_versions.text("/ui/matrix/upstream/downstream?row=99500&column=99500")
    assert "upstream 995.7.5 to 995.9.9, downstream 995.7.5 to 995.9.9" in re.sub("</?bdi[^>]*>", "", part)
    assert "row=100000&amp;" in part, "to the newest"
    last = many_versions.text("/ui/matrix/upstream/downstream?row=5&column=5")
    assert last.count('aria-label="valid: ') == 5 * 5
    drawing = many_versions.text("/ui/matrix/upstream/downstream/map.svg?row=100000&column=100000")
    assert 'viewBox="0 0 500 500"' in drawing


def test_the_map_has_the_verdicts_of_the_matrix(few: Site) -> None:
    drawing = few.text("/ui/matrix/pca/random_forest/map.svg")
    dots = set()
    for color, path in re.findall(r'stroke="(#\w+)" d="([^"]*)"', drawing):
        for x, y, count in re.findall(r"M(\d+) ([\d.]+)h(\d+)", path):
            dots |= {(color, int(float(y)), column) for column in range(int(x), int(x) + int(count))}
    words = {"#8fd3ae": "valid", "#a63a30": "known-invalid", "#f0d9a8": "not-validated"}
    body = few.text("/ui/matrix/pca/random_forest")
    cells = re.findall(r'<td class="([\w-]+)">', body)
    assert {(words[color], row, column) for color, row, column in dots} == {
        (word, place // 3, place % 3) for place, word in enumerate(cells)
    }


def test_a_pipeline_shows_its_edges_its_resolution_and_skipped_versions(few: Site) -> None:
    text = seen(few, "/ui/pipelines/churn")
    assert "churn ! not validated" in text
    assert "pca @1.3.0 1" in text
    assert "Skipped versions of pca : 1 pca @2.0.0 : pca 2.0.0 is not validated for random_forest 1.2.0" in text
    body = few.text("/ui/pipelines/churn")
    assert len(re.findall(r'<g class="edge valid">', body)) == 2
    assert len(re.findall(r'<g class="edge not-validated">', body)) == 1
    assert "No versions make all of these edges valid" in seen(few, "/ui/pipelines/reviews")


def test_a_resolution_that_lacks_versions_is_not_said_to_lack_links(few: Site) -> None:
    assert "Resolution ✕ invalid No versions are valid together" in seen(few, VIEWS["long names"])


def test_the_journal_describes_each_entry(few: Site) -> None:
    text, path = "", "/ui/journal"
    while path:
        body = few.text(path)
        text += " " + Text(body).text
        found = re.search(r'rel="next" href="([^"]*)"', body)
        path = found[1].replace("&amp;", "&") if found else ""
    for told in (
        "pca @2.0.0 stored with the columns of May",
        "scaler @1.0.0 registered",
        "pca @1.2.0 valid for random_forest @1.2.0 evaluation 19: auc 0.91",
        "pca @2.0.0 invalid for random_forest @1.1.0",
        "tokenizer @1.0.0 yanked trained on the test set",
        "pca @1.2.0 , random_forest @1.2.0 , tokenizer @1.1.0 tagged production",
        "churn pipeline registered",
    ):
        assert told in text, told


def test_the_journal_describes_every_kind_of_entry(site: Site) -> None:
    store = site.server.store
    store.register("op", fields={"major": {"a": "b"}})
    store.push("down", b"bytes", labels={"a": "b"})
    store.push("down", b"bytes", labels={"a": "c"})
    store.link("down", "op@any")
    store.link("down", "op@any", valid=False)
    store.unlink("down", "op@any")
    store.set_op("op", compat="major", description="what it is for")
    store.edit("down", message="better", unlabel=["a"])
    store.tag("down", "t")
    store.untag("down", "t")
    store.yank("down@1.0.0", "why")
    store.unyank("down@1.0.0")
    store.register_pipeline("p", ["down", "op"])
    for result in ("passed", "failed", "unknown"):
        store.record_run("p", new_run("down@1.0.0", "op@1.0.0", edges=[("down", "op")], result=result))
    at = {entry.action: entry.position for entry in store.log()}
    good, bad = at["stored"], at["unyanked"]
    store.record_bisection("p", NewBisection(command=("pytest",), good=good, bad=bad, last_good=good, first_bad=bad))
    store.remove_pipeline("p")
    store.remove("op", all_versions=True, force=True, reason="a typo")
    store.register_pipeline("again", ["op"])
    told = store.entries(None, 100)
    assert {entry.action for entry in told} == set(ACTIONS)
    assert [entry.position for entry in told] == list(range(len(told), 0, -1))
    site.sign_in()
    text = " ".join(Text(site.text(path)).text for path in ("/ui/journal", "/ui/journal?below=6"))
    for entry in told:
        assert re.search(rf"\b{entry.position} (just now|\d+ (hour|day)s? ago) ", text)
        assert entry.action in text
    for words in ("down @1.0.0 stored a=b", "edited a=c", "edited better; -a", "op described what it is for"):
        assert words in text, words


def test_a_removed_version_has_a_page_that_says_so(site: Site) -> None:
    store = site.server.store.by("Ana <ana@example.org>")
    store.push("pca", b"one", message="outliers")
    store.push("pca", b"two")
    store.remove("pca@1.0.0", reason="<b>wrong</b> columns")
    site.sign_in()
    text = seen(site, "/ui/ops/pca/1.0.0")
    for words in ("pca @1.0.0 removed", " by Ana <ana@example.org>: <b>wrong</b> columns", "opstore log pca"):
        assert words in text, words
    assert "/ui/ops/pca/1.0.0?as_of=2" in site.text("/ui/ops/pca/1.0.0")
    assert "outliers" in seen(site, "/ui/ops/pca/1.0.0?as_of=2")
    assert "removed" in seen(site, "/ui/ops/pca/1.0.0?as_of=3")
    assert "1.0.0" not in seen(site, "/ui/ops/pca")
    assert "pca@1.0.0" not in site.text("/ui/search?q=outliers")
    assert site.get("/ui/ops/pca/1.0.0/download").status_code == 404
    assert site.get("/ui/ops/pca/1.0.0/download?as_of=2").content == b"one"
    site.server.store.saver.delete(digest_of(b"one"))
    collected = site.get("/ui/ops/pca/1.0.0/download?as_of=2")
    assert collected.status_code == 404
    assert "pca@1.0.0 was removed at" in collected.text
    store.remove("pca@1.0.1")
    assert "Every version was removed" in seen(site, "/ui/ops/pca")
    store.remove("pca")
    gone = site.get("/ui/ops/pca")
    assert gone.status_code == 404
    assert "What happened to <bdi>pca</bdi>" in gone.text
    assert "/ui/ops/pca" not in site.text("/")
    assert "pca op removed" in seen(site, "/ui/journal?name=pca")


def test_the_page_shows_past_states(few: Site) -> None:
    registered = few.server.store.show("pca@1.1.0").registered_at
    half_an_hour_later = f"{registered:%Y-%m-%dT%H}:30"
    then = f"as_of={half_an_hour_later}"
    text = seen(few, f"/?{then}")
    assert f"You see the store as of {registered:%Y-%m-%d %H}:30 UTC . Back to now" in text
    assert "random_forest" not in text
    assert f"pca 1.1.0 {registered:%Y-%m-%d %H:%M} 1.1 MB 2 major" in text
    assert "1.2.0" not in seen(few, f"/ui/ops/pca?{then}")
    body = few.text(f"/ui/ops/pca?{then}")
    assert f"/ui/ops/pca/1.0.0?as_of={quote(half_an_hour_later)}%3A00Z" in body, "links keep the time"
    missing = few.get(f"/ui/ops/random_forest?{then}")
    assert missing.status_code == 404
    assert "You see the store as of" in missing.text, "links of an error lead to the same state"
    assert f'href="/?as_of={quote(half_an_hour_later)}%3A00Z"' in missing.text
    assert "There were no ops yet" in seen(few, "/?as_of=2020-01-01T00:00")
    assert "the store as of position 12" in seen(few, "/?as_of=12")


@pytest.mark.parametrize(
    ("as_of", "shown"),
    [
        ("2026-05-06", "2026-05-06 00:00 UTC"),
        ("2026-05-06T10:00", "2026-05-06 10:00 UTC"),
        ("2026-05-06 10:00:05", "2026-05-06 10:00:05 UTC"),
        ("2026-05-06T10:00:00%2B02:00", "2026-05-06 08:00 UTC"),
        ("%20%2012%20", "position 12"),
    ],
)
def test_a_past_state_is_named_as_people_write_it(few: Site, as_of: str, shown: str) -> None:
    assert f"You see the store as of {shown} ." in seen(few, f"/?as_of={as_of}")


def test_a_relative_time_becomes_an_exact_one_that_the_links_keep(few: Site) -> None:
    body = few.text("/ui/pipelines?as_of=2+days+ago")
    exact = re.search(r'href="/\?as_of=(2026-[^"]+Z)"', body)
    assert exact is not None
    assert f'href="/ui/journal?as_of={exact[1]}"' in body
    assert "as_of=2" in body
    assert "days" not in body.partition("<main")[0].partition("<header")[2]


@pytest.mark.parametrize(
    "as_of",
    ["gestern", "99999999999999999999", "-1", "2026-13-01", "0001-01-01T00:00%2B14:00", "<b>", "%00", "1" * 5000],
)
def test_a_past_state_that_is_none_is_refused(few: Site, as_of: str) -> None:
    for path in ("/", "/ui/ops/pca", "/ui/ops/pca/1.0.0/download", "/ui/matrix/pca/random_forest/map.svg"):
        response = few.get(f"{path}?as_of={as_of}")
        assert response.status_code == 400, response.text
    assert "<b>" not in few.get(f"/?as_of={as_of}").text.partition("<main")[2]


def test_commands_show_the_state_that_the_page_shows(few: Site) -> None:
    for path, command in (
        ("/ui/ops/pca", "opstore versions pca --as-of 12"),
        ("/ui/ops/pca", "opstore pull pca@1.3.0"),
        ("/ui/ops/pca/1.1.0", "opstore show pca@1.1.0 --as-of 12"),
        ("/ui/edge?upstream=pca@1.1.0&downstream=tokenizer", "opstore validate pca@1.1.0 tokenizer@1.2.0 --as-of 12"),
    ):
        text = seen(few, f"{path}{'&' if '?' in path else '?'}as_of=12")
        assert command in text
        assert "opstore push" not in text
    assert "opstore validate churn --as-of 20" in seen(few, "/ui/pipelines/churn?as_of=20")


def test_commands_fit_what_is_stored(site: Site) -> None:
    store = site.server.store
    store.register("registered", fields={"major": {"a": "b"}})
    store.push("table", b"x", format="parquet")
    store.push("pickled", b"x", format="pickle")
    store.register_pipeline("p", ["registered", "empty"])
    site.sign_in()
    assert "opstore pull" not in seen(site, "/ui/ops/registered")
    assert 'client.show("registered@1.0.0")' in seen(site, "/ui/ops/registered/1.0.0")
    assert 'obj = client.load("table@1.0.0")' in seen(site, "/ui/ops/table/1.0.0")
    assert 'client.pull("pickled", "pickled")' in seen(site, "/ui/ops/pickled"), "to load it would run code"
    empty = seen(site, "/ui/ops/empty")
    assert "There are no versions yet" in empty
    assert "opstore push empty FILE" in empty
    assert "Python" not in empty


def test_the_formats_that_the_page_loads_run_no_code() -> None:
    from opstore_cli.objects.formats import FORMATS
    from opstore_daemon.web.page.ops import SAFE_FORMATS

    assert {name for name, each in FORMATS.items() if not each.runs_code} == SAFE_FORMATS


def test_the_description_of_an_op_is_shown_and_found(site: Site) -> None:
    store = site.server.store
    store.push("pca", b"x")
    store.push("other", b"x")
    before = store.log(limit=1)[0].position
    store.set_op("pca", description=f"Reduces counts to 50 components {HOSTILE}")
    site.sign_in()
    for path in ("/", "/ui/ops/pca", "/?filter=COMPONENTS", "/ui/search?q=components"):
        text = seen(site, path)
        assert "Reduces counts to 50" in text
        assert Text(site.text(path)).elements.count("script") == 1
    assert "other" not in seen(site, "/?filter=COMPONENTS").replace("other site", "")
    for path in ("/", "/ui/ops/pca", "/ui/search?q=pca"):
        assert "Reduces counts" not in seen(site, f"{path}{'&' if '?' in path else '?'}as_of={before}")
    assert "Description" not in seen(site, f"/?as_of={before}")


def test_the_journal_of_an_op_or_a_pipeline(few: Site) -> None:
    text = seen(few, "/ui/journal?name=churn")
    assert "ago churn pipeline registered" in text
    assert "cleaner @1.0.0 stored" not in text
    assert "pca @1.2.0 valid for random_forest @1.2.0" in seen(few, "/ui/journal?name=random_forest")
    assert 'href="/ui/journal?name=pca"' in few.text("/ui/ops/pca")
    assert 'href="/ui/journal?name=churn"' in few.text("/ui/pipelines/churn")
    assert "no op or pipeline has the name pac . Did you mean pca ?" in seen(few, "/ui/journal?name=pac")
    assert "Nothing to show: 'Not A Name' is not a name" in seen(few, "/ui/journal?name=Not+A+Name")
    past = "Nothing to show: no op or pipeline had the name cleaner ."
    assert seen(few, "/ui/journal?name=cleaner&as_of=0").partition(past)[2] == " opstore 0.1.0 Log out"
    assert "Nothing had changed yet" in seen(few, "/ui/journal?as_of=0")


def test_an_error_leads_to_what_was_meant(few: Site) -> None:
    for path, sentence, lead in (
        ("/ui/ops/pac", "There is no op pac. Did you mean pca ?", "/ui/ops/pca"),
        ("/ui/ops/churn", "There is no op churn. There is a pipeline of that name: churn", "/ui/pipelines/churn"),
        ("/ui/ops/pca/9.9.9", "No version of pca matches 9.9.9. All versions of pca", "/ui/ops/pca"),
        ("/ui/pipelines/chrun", "There is no pipeline chrun. Did you mean churn ?", "/ui/pipelines/churn"),
        ("/ui/ops/scaler/1.0.0/download", "scaler@1.0.0 has no bytes: it is registered only.", "/ui/ops/scaler"),
        ("/ui/ops/pca?sort=x", "The list can't be sorted by 'x'.", "/"),
        ("/ui/matrix/pca/pca", "pca can't be its own upstream.", "/"),
    ):
        found = Text(few.get(path).text)
        assert sentence in found.text
        assert lead in found.leads


def test_two_versions_of_the_list_are_compared(few: Site) -> None:
    body = few.text("/ui/ops/pca").partition('class="compare"')[2].partition("</form>")[0]
    chosen = re.findall(r'<select name="(\w+)"|value="(pca@[\d.]+)" selected', body)
    assert chosen == [("one", ""), ("", "pca@1.3.0"), ("other", ""), ("", "pca@2.0.0")]
    assert 'class="compare"' not in few.text("/ui/ops/op")


@pytest.mark.parametrize(
    ("sought", "found"),
    [
        ("fore", "Ops random_forest"),
        ("PCA", "Ops pca"),
        ("churn", "Pipelines churn"),
        ("prod", "Tags production pca @1.2.0 production random_forest @1.2.0"),
        ("pca@1.2.0", "Versions pca @1.2.0"),
        ("pca@production", "Versions pca @1.2.0"),
        ("evaluation", "Nothing matches “ evaluation ”"),
        ("WEEK 3", "Messages and labels random_forest @1.2.0 message: trained in week 3 pca @1.2.0"),
        ("april", "Messages and labels encoder @1.0.0 label data : April"),
        ("team", "Messages and labels encoder @1.0.1 label team : reviews encoder @1.0.0 label team : reviews"),
        ("%", "Nothing matches “ % ”"),
        ("_forest_", "Nothing matches"),
        ("", "You can search for: part of the name"),
    ],
)
def test_a_search_finds_ops_pipelines_tags_and_versions(few: Site, sought: str, found: str) -> None:
    response = few.get("/ui/search", params={"q": sought})
    assert found in Text(response.text).text


def test_a_search_finds_the_messages_and_labels_of_a_past_state(few: Site) -> None:
    first, second = (few.server.store.show(f"encoder@{number}").position for number in ("1.0.0", "1.0.1"))
    assert "label data : July" in seen(few, f"/ui/search?q=July&as_of={second}")
    assert "Nothing matches" in seen(few, f"/ui/search?q=July&as_of={first}")
    assert "message: of spring" in seen(few, f"/ui/search?q=of+spring&as_of={first}")
    assert "Nothing matches" in seen(few, f"/ui/search?q=of+spring&as_of={first - 1}")


def test_a_search_reads_a_limited_number_of_messages_and_labels(few: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = few.server.store.show("down@1.0.0")
    monkeypatch.setattr(overview, "MAX_SEARCHED", 1)
    assert f"down @{newest.version} message" in seen(few, "/ui/search?q=xxxx")
    assert "Nothing matches" in seen(few, "/ui/search?q=week+3")
    assert "Nothing matches" in seen(few, "/ui/search?q=April")


def test_a_digest_is_found_by_its_first_digits(few: Site) -> None:
    digest = str(few.server.store.show("pca@1.2.0").digest)
    for sought in (digest, digest[7:15], digest[:20]):
        assert "pca @1.2.0" in seen(few, f"/ui/search?q={sought}")


def test_no_text_of_a_user_can_change_the_direction_of_others(few: Site) -> None:
    """An element isolates its text, but the text can end the isolation."""
    for path in (
        "/ui/ops/op",
        "/ui/ops/op/1.0.0",
        "/ui/journal",
        "/ui/search?q=gnp",
        "/ui/edge?upstream=op&downstream=down",
    ):
        assert not set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") & set(few.get(path).text), path
    searched = few.text("/ui/search?q=%E2%80%AEgnp")
    assert 'value="\u202egnp"' in searched, "a form has what was typed"
    assert searched.count("\u202e") == 2, "and the form for a past state"
    assert "message: " in Text(searched).text


def test_user_text_is_never_interpreted_as_markup(few: Site) -> None:
    body = few.text("/ui/ops/op/1.0.0")
    assert SHOWN in " ".join(Text(body).words)
    assert "b" not in Text(body).elements
    for path in ("/ui/journal", "/ui/edge?upstream=op@1.0.0&downstream=down", "/ui/ops/op"):
        assert Text(few.text(path)).elements.count("script") == 1
        assert SHOWN in " ".join(Text(few.text(path)).words)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ui/ops/nothing", 404),
        ("/ui/ops/pca/9.9.9", 404),
        ("/ui/ops/Not%20A%20Name", 400),
        ("/ui/pipelines/nothing", 404),
        ("/ui/matrix/pca/pca", 400),
        ("/ui/edge?upstream=pca", 400),
        ("/ui/journal?below=x", 400),
        ("/ui/journal?typo=1", 400),
        ("/ui/nothing", 404),
        ("/ui/", 404),
        ("/ui/search?q=<script>alert(1)</script>&q=2", 400),
    ],
)
def test_an_error_is_shown_as_a_page(few: Site, path: str, status: int) -> None:
    response = few.get(path)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert Text(response.text).elements.count("script") == 1


def test_an_empty_store_shows_the_first_command(site: Site) -> None:
    site.sign_in()
    assert "opstore push NAME FILE" in seen(site, "/")
    assert "opstore pipeline register" in seen(site, "/ui/pipelines")
    assert "Nothing has changed yet" in seen(site, "/ui/journal")
