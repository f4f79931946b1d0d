"""Runs on the page: a list, one with its output, and where else they are shown."""

import re

import pytest

from opstore_daemon.protocol.output_lines import output_lines
from opstore_daemon.store import Store
from opstore_daemon.web.page.runs import is_web_address
from tests.daemon.page.stores import SHOWN
from tests.daemon.page.test_views import Text, seen
from tests.support.new_run import new_run
from tests.support.site import Site

PASSED, FAILED, HOSTILE = 32, 36, 38  # runs of the store with a few ops


def churn(store: Store, runs: int = 1, **fields: object) -> None:
    """Add a pipeline with a version of each op, and runs of it."""
    store.push("pca", b"one")
    store.push("forest", b"trees")
    store.register_pipeline("churn", ["pca", "forest"])
    for _ in range(runs):
        store.record_run("churn", new_run("pca@1.0.0", "forest@1.0.0", **fields))


def test_a_run_shows_its_command_result_versions_output_and_facts(few: Site) -> None:
    text = seen(few, f"/ui/runs/{FAILED}")
    assert f"Run {FAILED} of churn ✕ failed exit code 1 python evaluate.py --auc 0.85" in text
    assert "0% 50% 100% \\x1b[32mauc 0.52\\x1b[0m, at least 0.85 is needed AssertionError: 0.52 < 0.85" in text
    assert "cleaner @1.1.0 tokenizer @1.2.0 pca @2.0.0 random_forest @1.2.0" in text
    assert re.search(r"Took 1 min 12 s Script evaluate.py [0-9a-f]{12} Commit 1a2b3c4d5e6f Set [0-9a-f]{12}", text)
    assert f"opstore runs --output {FAILED}" in text
    used = "--use cleaner@1.1.0 --use tokenizer@1.2.0 --use pca@2.0.0 --use random_forest@1.2.0"
    assert f"opstore validate churn {used} --exact-set" in text
    assert "\n  50%\n" in few.text(f"/ui/runs/{FAILED}"), "lines stay lines"


def test_what_the_author_of_a_run_wrote_is_text(few: Site) -> None:
    body = few.text(f"/ui/runs/{HOSTILE}")
    assert "<b>bold" not in body
    assert "\u202e" not in body
    assert "javascript:alert(1)" in Text(body).text
    assert not [lead for lead in Text(body).leads if "javascript" in lead]
    for place in ("Run 38 of", "failed", "sh -c", "Script"):
        assert place in Text(body).text
    assert Text(body).text.count(SHOWN) == 3, "the reason, the output and the script"
    assert "The command printed 3.0 GB . The store keeps the beginning and the end." in Text(body).text


@pytest.mark.parametrize(
    ("text", "is_address"),
    [
        ("https://ci.example/run/7?a=b#c", True),
        ("http://127.0.0.1:8080/7", True),
        ("HTTPS://ci.example", True),
        ("javascript:alert(1)", False),
        ("JavaScript://ci.example/%0aalert(1)", False),
        ("data:text/html,<script>", False),
        ("//ci.example", False),
        ("ftp://ci.example", False),
        ("https://", False),
        ("https://ci.example/\u202egnp", False),
        ("https://ci.example/a b", False),
        ("java\nscript:alert(1)", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_only_an_address_of_the_web_is_a_link(text: str, is_address: bool) -> None:
    assert is_web_address(text) == is_address


def test_the_address_of_a_ci_job_is_a_link_that_sends_no_referrer(site: Site) -> None:
    churn(site.server.store, ci_url='https://ci.example/7?a="b"&c')
    site.sign_in()
    body = site.text("/ui/runs/4")
    link = '<a href="https://ci.example/7?a=&#34;b&#34;&amp;c" rel="noopener noreferrer nofollow">'
    assert link in body


def test_a_command_that_printed_nothing_says_so(site: Site) -> None:
    churn(site.server.store, output="", repeat=3)
    site.sign_in()
    text = seen(site, "/ui/runs/4")
    assert "The command printed nothing." in text
    assert "Took 3.2 s, 3 repetitions" in text


def test_runs_are_listed_filtered_and_paged(site: Site) -> None:
    churn(site.server.store, 55)
    churn_failed = new_run("pca@1.0.0", "forest@1.0.0", result="failed")
    failed = site.server.store.record_run("churn", churn_failed).run.position
    site.sign_in()
    first = site.text("/ui/runs?pipeline=churn")
    assert len(re.findall('<th scope="row">', first)) == 50
    older = re.search(r'rel="next" href="([^"]*)"', first)
    assert older is not None
    assert len(re.findall('<th scope="row">', site.text("/ui/runs" + older[1].replace("&amp;", "&")))) == 6
    assert re.findall(r'href="/ui/runs/(\d+)', site.text("/ui/runs?result=failed")) == [str(failed)]
    assert "run 4 " in seen(site, "/ui/runs?reference=pca@1.0.0&below=6")
    assert "There are no such runs yet" in seen(site, "/ui/runs?result=unknown")
    assert "There were no such runs yet" in seen(site, "/ui/runs?as_of=2")
    assert site.get(f"/ui/runs/{failed}?as_of=2").status_code == 404


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("pipeline=nowhere", "there is no pipeline nowhere"),
        ("pipeline=A%20B", "is not a name"),
        ("reference=nothing@1.0.0", "there is no op nothing"),
        ("reference=pca@9.9.9", "no version of pca matches 9.9.9"),
        ("reference=@", "@"),
    ],
)
def test_a_filter_that_selects_nothing_says_why_and_can_be_corrected(few: Site, query: str, problem: str) -> None:
    body = few.text(f"/ui/runs?{query}")
    assert problem in Text(body).text
    assert '<form class="filter">' in body


@pytest.mark.parametrize("run", ["0", "1", "99999", "-1", "1e3", "36x", "9" * 50])
def test_a_run_that_does_not_exist_is_not_found(few: Site, run: str) -> None:
    found = few.get(f"/ui/runs/{run}")
    assert found.status_code == 404
    assert "There is no such run" in found.text


def test_a_pipeline_says_whether_exactly_its_latest_versions_ran_and_lists_runs(few: Site, site: Site) -> None:
    text = seen(few, "/ui/pipelines/churn")
    assert f"✕ failed Run {FAILED} failed with exactly these versions" in text
    assert re.search(rf"run {FAILED} ✕ failed python evaluate.py .* run {PASSED} ✓ passed", text)
    assert "No run says whether exactly these versions work together. Latest" in seen(few, "/ui/pipelines/reviews")
    assert "There are no runs yet. opstore verify reviews --run CMD" in seen(few, "/ui/pipelines/reviews")
    site.server.store.push("pca", b"one")
    site.server.store.register_pipeline("early", ["pca", "forest"])
    site.sign_in()
    assert "No run says" not in seen(site, "/ui/pipelines/early"), "an op has no version"


def test_a_pipeline_shows_which_version_a_bisection_found(few: Site) -> None:
    body = few.text("/ui/pipelines/churn")
    text = Text(body).text.partition("Bisections")[2]
    assert re.search(r"pca @2.0.0 or an entry before it position 20 : stored .* ago : with the columns of May", text)
    assert "Compare with 1.3.0 . Could not be tested: position 12 python evaluate.py --auc 0.85" in text
    assert f"cleaner @1.1.0 , tokenizer @1.2.0 , pca @1.3.0 , random_forest @1.1.0 run {FAILED} , run {PASSED}" in text
    assert "/ui/compare?one=pca%401.3.0&amp;other=pca%402.0.0" in body
    assert "churn bisected : pca @2.0.0 broke it" in seen(few, "/ui/journal")
    assert "Bisections" not in seen(few, f"/ui/pipelines/churn?as_of={FAILED}"), "it came later"
    assert "Bisections" not in seen(few, "/ui/pipelines/reviews")


def test_a_version_an_edge_and_the_journal_lead_to_the_runs(few: Site) -> None:
    version = few.text("/ui/ops/pca/1.2.0")
    assert f'href="/ui/runs/{PASSED}"' in version
    assert 'href="/ui/runs?reference=pca%401.2.0"' in version
    assert '<h2 id="runs">' not in few.text("/ui/ops/pca/1.1.0")
    edge = seen(few, "/ui/edge?upstream=pca@1.2.0&downstream=random_forest@1.2.0")
    assert f"run {PASSED} : python evaluate.py --auc 0.85 passed in 74.2 s" in edge
    assert "churn run failed python evaluate.py --auc 0.85: exit code 1" in seen(few, "/ui/journal")


def test_a_run_whose_versions_were_yanked_is_still_shown(site: Site) -> None:
    churn(site.server.store)
    site.server.store.yank("pca@1.0.0", "broken")
    site.sign_in()
    assert "pca @1.0.0 forest @1.0.0" in seen(site, "/ui/runs/4")
    assert "run 4 ✓ passed" in seen(site, "/ui/runs?reference=pca@1.0.0")


def test_a_line_that_a_terminal_would_overwrite_is_a_line() -> None:
    assert output_lines("a\r\nb\n 10%\r 20%\n\nend") == ["a", "b", " 10%", " 20%", "", "end"]
    assert output_lines("") == []
    assert output_lines("\n") == [""]
