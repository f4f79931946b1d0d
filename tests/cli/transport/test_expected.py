"""Answers that are well-formed, but not to the question: each verb refuses them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from opstore_daemon.protocol import errors, records, routes
from opstore_daemon.protocol.digests import digest_of
from tests.cli.transport.test_api import VERSION, CannedClient, CannedResponse, json
from tests.support.for_each import for_each
from tests.support.runs import a_run

AT = {"registered_at": "2026-01-01T00:00:00Z", "position": 1}
PCA, FOREST = {"op": "pca", "version": "1.0.0"}, {"op": "forest", "version": "2.0.0"}
EDGE = {"upstream": PCA, "downstream": FOREST, "verdict": "valid", "basis": "link", "reason": "a link"}
VALIDATION = {"verdict": "valid", "edges": [EDGE], "versions": [PCA, FOREST]}
SET = f"sha256:{'a' * 64}"
RUN = msgspec.to_builtins(a_run(set=SET))
FAILED_RUN = RUN | {"result": "failed"}
CHURN = VALIDATION | {"pipeline": "churn", "set": SET}
RAN = CHURN | {"run": RUN}
WHOLE = {"verdict": "valid", "basis": "run", "reason": "run 45 passed"}
EXACT = RAN | {"exact_set": WHOLE}
PIPELINE = {"name": "churn", "ops": ["pca", "forest"], "edges": [["pca", "forest"]], **AT}
BESIDE = {"op": "beside", "version": "1.0.0"}
LINK = {
    "upstream": "pca",
    "upstream_version": "1.0.0",
    "downstream": "forest",
    "downstream_version": "2.0.0",
    "valid": True,
    "state": "valid",
    "evidence": None,
    **AT,
}
TAG = {"op": "pca", "tag": "stable", "version": "1.0.0", **AT}
OP = {"name": "pca", "latest": "1.0.0", "versions": 1, "compat": "exact"}
FOREST_VERSION = VERSION | FOREST
RESOLUTION = {
    "pipeline": "churn",
    "verdict": "valid",
    "versions": [VERSION, FOREST_VERSION],
    "edges": [["pca", "forest"]],
    "skipped": [],
    "position": 1,
}
NOT_VALIDATED = {"verdict": "invalid", "basis": "not-validated", "reason": "not validated"}
AFFECTED = {"version": PCA, "affected": [FOREST | NOT_VALIDATED]}
VERSIONS = {"op": "pca", "versions": [VERSION | {"sequence": 2, "version": "1.0.1"}, VERSION]}
YANKED = VERSION | {"yanked": True, "yank_reason": "bad"}
REMOVAL = {"removed": [PCA, FOREST], "position": 7}
BROKEN = {"broken": [{"kind": "tag", "version": PCA, "what": "best", "words": "a tag"}], "broken_count": 1}
TRIED = {"removed": [PCA], "dry_run": True, **BROKEN}
PUSHED = VERSION | {"created": True}
TO_ANY = LINK | {"downstream": "report", "downstream_version": None}
FROM = LINK | {"upstream": "scaler", "upstream_version": "1.0.0", "downstream": "pca", "downstream_version": "1.0.0"}
LINKED = PUSHED | {"links": [LINK, TO_ANY, FROM]}
UPLOAD = {"upload": "a", "offset": 0, "size": None}
COLLECTION = {
    "dry_run": False,
    "complete": True,
    "uploads": 1,
    "uploads_size": 5,
    "purged": 1,
    "purged_size": 7,
    "freed": 12,
}

Call = Callable[[CannedClient], object]


def edge(client: CannedClient) -> object:
    return client.validate("pca@1.0.0", "forest")


def pipeline(client: CannedClient) -> object:
    return client.validate_pipeline("churn", use=["pca@1"])


def exact_set(client: CannedClient) -> object:
    return client.validate_pipeline("churn", exact_set=True)


def waited(client: CannedClient) -> object:
    return client.wait("churn", seconds=0)


def link(client: CannedClient) -> object:
    return client.link("pca@1.0.0", "forest@2.0.0", evidence=None)


def pushed_with_links(client: CannedClient) -> object:
    return client.push("pca", b"0123456789", valid_for=["forest@2.0.0", "report@any"], valid_with=["scaler"])


def registered(client: CannedClient) -> object:
    return client.register_pipeline("churn", ["pca", "forest"])


QUESTIONS: dict[str, tuple[Call, Any]] = {
    "edge": (edge, VALIDATION),
    "pipeline verdict": (pipeline, CHURN),
    "pipeline that ran": (pipeline, RAN),
    "exact set": (exact_set, EXACT),
    "exact set that failed": (
        exact_set,
        CHURN
        | {"run": FAILED_RUN, "verdict": "invalid", "exact_set": WHOLE | {"verdict": "invalid", "basis": "run-failed"}},
    ),
    "exact set that never ran": (
        exact_set,
        CHURN | {"verdict": "unknown", "exact_set": WHOLE | {"verdict": "unknown", "basis": "not-run"}},
    ),
    "wait": (waited, CHURN),
    "resolution": (lambda client: client.resolve("churn"), RESOLUTION),
    "affected": (lambda client: client.affected("pca@1.0.0"), AFFECTED),
    "link": (link, {"link": LINK}),
    "unlink": (lambda client: client.unlink("pca@1.0.0", "forest@2.0.0"), {"link": LINK}),
    "links": (lambda client: client.links("pca"), {"links": [LINK]}),
    "links of both": (lambda client: client.links(upstream="pca", downstream="forest"), {"links": [LINK]}),
    "tag": (lambda client: client.tag("pca@1.0.0", "stable"), {"tags": [TAG]}),
    "tags": (lambda client: client.tags("pca"), {"tags": [TAG]}),
    "history": (lambda client: client.tags(history=True), {"tags": [TAG | {"version": None}]}),
    "op": (lambda client: client.op("pca"), OP),
    "ops": (lambda client: client.ops(), {"ops": [OP]}),
    "level": (lambda client: client.set_op("pca", compat="exact"), OP),
    "pipeline": (lambda client: client.pipeline("churn"), PIPELINE),
    "pipelines": (lambda client: client.pipelines(), {"pipelines": [PIPELINE]}),
    "registered": (registered, PIPELINE),
    "versions": (lambda client: client.versions("pca@1"), VERSIONS),
    "digits of a digest": (lambda client: client.show(f"pca@{str(VERSION['digest'])[7:19]}"), VERSION),
    "tag of hex digits": (lambda client: client.show("pca@deadbeef"), VERSION | {"tags": ["deadbeef"]}),
    "yank": (lambda client: client.yank("pca@1.0.0", "bad"), YANKED),
    "unyank": (lambda client: client.unyank("pca@1.0.0"), VERSION),
    "remove": (lambda client: client.remove(["pca@1.0.0", "forest@2.0.0"]), REMOVAL),
    "remove --force": (lambda client: client.remove("pca@1", force=True), REMOVAL | {"removed": [PCA], **BROKEN}),
    "remove --dry-run": (lambda client: client.remove("pca@latest", dry_run=True), TRIED),
    "remove an op": (lambda client: client.remove("pca"), REMOVAL | {"removed": [], "ops": ["pca"]}),
    "remove --all-versions": (
        lambda client: client.remove("pca", all_versions=True),
        REMOVAL | {"removed": [PCA, PCA | {"version": "1.0.1"}], "ops": ["pca"]},
    ),
    "push with links": (pushed_with_links, LINKED),
    "push": (lambda client: client.push("pca", b"0123456789", subversions="aaaa.aaaa.aaaa", new=True), PUSHED),
    "push --new": (lambda client: client.push("pca", b"0123456789", new=True), PUSHED),
    "register": (lambda client: client.register("pca", subversions="aaaa.aaaa.aaaa"), PUSHED),
    "collection": (lambda client: client.collect_garbage(), COLLECTION),
    "invitation": (lambda client: client.invite(), {"path": f"/ui/open/{'a' * 43}", "seconds": 60}),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_response_that_fits_the_request_is_accepted(question: str) -> None:
    call, answer = QUESTIONS[question]
    call(CannedClient(json(answer | {"key_of_a_newer_daemon": {"a": [1]}})))


def edges_of(*changes: dict[str, Any]) -> dict[str, Any]:
    return {"edges": [EDGE | change for change in changes]}


UNKNOWN, INVALID = {"verdict": "unknown", "basis": "no-links"}, {"verdict": "invalid", "basis": "not-validated"}
OTHER = {"op": "other", "version": "1.0.0"}
ANOTHER_EDGE = {"edges": [EDGE, EDGE | {"upstream": OTHER}], "versions": [OTHER, PCA, FOREST]}

WRONG: dict[str, list[dict[str, Any]]] = {
    "push with links": [
        {"links": links}
        for links in (
            [],
            [LINK, TO_ANY],
            [LINK, TO_ANY, FROM, FROM],
            [TO_ANY, LINK, FROM],
            [LINK, TO_ANY | {"downstream_version": "1.0.0"}, FROM],
            [LINK | {"downstream_version": None}, TO_ANY, FROM],
            [LINK | {"upstream_version": "1.0.1"}, TO_ANY, FROM],
            [LINK, TO_ANY, FROM | {"downstream_version": None}],
            [LINK, TO_ANY, FROM | {"upstream": "other"}],
        )
    ],
    "edge": [
        {"edges": []},
        {"edges": [], "versions": []},
        edges_of({}, {}),
        edges_of(INVALID),
        edges_of(UNKNOWN),
        edges_of(UNKNOWN) | {"verdict": "invalid"},
        *(edges_of({"basis": basis}) for basis in records.VERDICTS if records.VERDICTS[basis] != "valid"),
        edges_of({"basis": "environment"}),
        edges_of({"verdict": "invalid"}) | {"verdict": "invalid"},
        edges_of({"verdict": "unknown", "basis": "no-version"}) | {"verdict": "unknown"},
        {"verdict": "invalid"},
        edges_of({"upstream": OTHER}) | {"versions": [OTHER, FOREST]},
        edges_of({"downstream": OTHER}) | {"versions": [PCA, OTHER]},
        edges_of({"upstream": FOREST, "downstream": PCA}) | {"versions": [FOREST, PCA]},
        edges_of({"upstream": PCA | {"version": "1.0.1"}}) | {"versions": [PCA | {"version": "1.0.1"}, FOREST]},
        edges_of({"upstream": PCA | {"version": None}}) | {"versions": [PCA | {"version": None}, FOREST]},
        {"versions": [PCA]},
        {"versions": [PCA | {"version": "1.0.1"}, FOREST]},
        {"versions": [PCA, FOREST, OTHER]},
        {"pipeline": "churn"},
        {"set": SET},
        {"run": RUN},
        {"exact_set": WHOLE},
    ],
    "pipeline verdict": [
        {"pipeline": "other"},
        {"pipeline": None},
        {"edges": [], "versions": []},
        edges_of(INVALID),
        edges_of({}, {}),
        edges_of({"upstream": OTHER}),
        {"versions": [FOREST, PCA]},
        {"versions": [PCA, FOREST, FOREST]},
        {"versions": [PCA | {"version": "2.0.0"}, FOREST]} | edges_of({"upstream": PCA | {"version": "2.0.0"}}),
        {"versions": [PCA | {"version": None}, FOREST]} | edges_of({"upstream": PCA | {"version": None}}),
        edges_of({"upstream": OTHER}) | {"versions": [OTHER, FOREST]},
        {"set": None},
        {"exact_set": WHOLE, "run": RUN},
    ],
    "pipeline that ran": [
        {"run": RUN | change}
        for change in (
            {"set": f"sha256:{'b' * 64}"},
            {"result": "unknown"},
            {"versions": [PCA]},
            {"versions": [PCA, FOREST, BESIDE]},
            {"versions": [PCA, PCA | {"version": "1.0.1"}]},
            {"versions": [PCA | {"version": "1.0.1"}, FOREST]},
        )
    ],
    "exact set": [
        {"exact_set": None},
        {"run": None},
        {"run": FAILED_RUN},
        {"exact_set": WHOLE | {"basis": "not-run"}},
        {"exact_set": WHOLE | {"basis": "run-failed"}},
        {"exact_set": WHOLE | {"verdict": "unknown"}},
        {"exact_set": WHOLE | {"verdict": "unknown"}, "verdict": "unknown"},
        {"verdict": "unknown"},
        {"exact_set": WHOLE | {"verdict": "unknown", "basis": "not-run"}, "verdict": "unknown"},
    ],
    "exact set that failed": [{"verdict": "valid"}, {"run": RUN}, {"exact_set": WHOLE, "verdict": "valid"}],
    "exact set that never ran": [{"verdict": "valid"}, {"exact_set": WHOLE, "verdict": "valid"}],
    "wait": [{"pipeline": "other"}, {"edges": [], "versions": []}, edges_of(INVALID)],
    "resolution": [
        {"pipeline": "other"},
        {"verdict": "invalid"},
        {"versions": []},
        {"versions": [VERSION, VERSION]},
        {"versions": [FOREST_VERSION, VERSION]},
        {"versions": [VERSION], "edges": [["pca", "pca"]]},
        {"edges": [["pca", "other"]]},
        {"edges": [["pca", "forest"], ["pca", "forest"]]},
        {"versions": [VERSION, FOREST_VERSION | {"size": None}]},
        {"skipped": [{"op": "other", "version": "1.0.0", "reason": "x"}]},
        {"conflict": [EDGE]},
        {"versions": [], "verdict": "invalid", "edges": [], "conflict": [EDGE]},
    ],
    "affected": [
        {"version": OTHER},
        {"version": PCA | {"version": "1.0.1"}},
        {"version": PCA | {"version": None}},
        {"affected": [PCA | NOT_VALIDATED]},
        {"affected": [FOREST | {"verdict": "valid", "basis": "link", "reason": ""}]},
        {"affected": [FOREST | NOT_VALIDATED | {"basis": "no-links"}]},
        {"affected": [FOREST | NOT_VALIDATED] * 2},
    ],
    "link": [
        {"link": LINK | change}
        for change in (
            {"upstream": "other"},
            {"downstream": "other"},
            {"upstream_version": "1.0.1"},
            {"downstream_version": "2.0.1"},
            {"downstream_version": None},
            {"state": "invalid", "valid": False},
            {"state": "invalid"},
            {"valid": False},
        )
    ],
    "unlink": [{"link": LINK | {"upstream": "other"}}, {"link": LINK | {"downstream_version": None}}],
    "links": [
        {"links": [LINK | {"upstream": "other"}]},
        {"links": [LINK | {"state": "revoked", "valid": False}]},
        {"links": [LINK | {"until": 5}]},
        {"links": [LINK | {"valid": False}]},
        {"links": [LINK, LINK]},
        {"links": [LINK, LINK | {"position": 2}]},
    ],
    "links of both": [{"links": [LINK | {"upstream": "other"}]}, {"links": [LINK | {"downstream": "other"}]}],
    "tag": [
        {"tags": []},
        {"tags": [TAG, TAG]},
        {"tags": [TAG | {"op": "other"}]},
        {"tags": [TAG | {"tag": "other"}]},
        {"tags": [TAG | {"version": "1.0.1"}]},
        {"tags": [TAG | {"version": None}]},
    ],
    "tags": [
        {"tags": [TAG | {"op": "other"}]},
        {"tags": [TAG | {"version": None}]},
        {"tags": [TAG | {"tag": "latest"}]},
        {"tags": [TAG | {"tag": "1.0.0"}]},
    ],
    "op": [{"name": "other"}],
    "ops": [{"ops": [OP, OP]}],
    "level": [{"name": "other"}, {"compat": "major"}],
    "pipeline": [
        {"name": "other"},
        {"ops": []},
        {"ops": ["pca", "pca", "forest"]},
        {"ops": ["forest", "pca"]},
        {"edges": [["pca", "other"]]},
        {"edges": [["pca", "forest"], ["forest", "pca"]]},
    ],
    "pipelines": [{"pipelines": [PIPELINE, PIPELINE]}, {"pipelines": [PIPELINE | {"ops": ["forest"]}]}],
    "registered": [
        {"name": "other"},
        {"edges": []},
        {"ops": ["pca", "other"], "edges": [["pca", "other"]]},
        {"ops": ["pca", "forest", "other"]},
    ],
    "versions": [
        {"op": "other"},
        {"versions": [VERSION | {"op": "other"}]},
        {"versions": [VERSION | {"version": "2.0.0"}]},
        {"versions": [VERSION, VERSION]},
        {"versions": [VERSION, VERSION | {"sequence": 2}]},
        {"verdict": "invalid"},
        {"skipped": [{"op": "other", "version": "1.0.0", "reason": "x"}]},
    ],
    "digits of a digest": [{"digest": digest_of(b"other")}, {"digest": None, "size": None}],
    "tag of hex digits": [{"tags": []}, {"tags": ["deadbee"]}],
    "yank": [{"op": "other"}, {"version": "1.0.1"}, {"yank_reason": None, "yanked": False}, {"yank_reason": "other"}],
    "unyank": [{"op": "other"}, {"version": "1.0.1"}, {"yank_reason": "bad", "yanked": True}],
    "push": [
        {"links": [LINK]},
        {"op": "other"},
        {"size": 1},
        {"digest": digest_of(b"other")},
        {"digest": None, "size": None},
        {"subversions": "bbbb.bbbb.bbbb"},
        {"format": "joblib"},
    ],
    "remove": [
        {"removed": [PCA]},
        {"removed": []},
        {"removed": [PCA, FOREST, PCA]},
        {"removed": [PCA, FOREST, {"op": "other", "version": "1.0.0"}]},
        {"removed": [PCA | {"version": "1.0.1"}, FOREST]},
        {"removed": [PCA, FOREST, {"op": "pca", "version": None}]},
        {"ops": ["pca"]},
        {"dry_run": True},
        {"position": None},
        BROKEN,
        {"broken_count": 1},
    ],
    "remove --force": [
        {"removed": [PCA | {"version": "2.0.0"}]},
        {"broken_count": 0},
        {"broken": [BROKEN["broken"][0] | {"version": FOREST}]},  # type: ignore[index]
    ],
    "remove --dry-run": [{"dry_run": False}, {"position": 7}, {"removed": []}],
    "remove an op": [{"removed": [PCA]}, {"ops": []}, {"ops": ["other"]}, {"ops": ["pca", "other"]}],
    "remove --all-versions": [{"ops": []}, {"removed": [FOREST]}],
    "push --new": [{"created": False}],
    "register": [{"op": "other"}, {"subversions": "bbbb.bbbb.bbbb"}],
    "collection": [{"dry_run": True}, {"freed": 1}, {"uploads_size": 7}, {"garbage": -1}],
    "invitation": [
        {"path": path}
        for path in (
            "@evil.example/ui/open/" + "a" * 43,
            "//evil.example/ui/open/" + "a" * 43,
            "\\\\evil.example",
            "/..//evil.example",
            "/ui/open/../../x" + "a" * 43,
            "/ui/open/" + "a" * 43 + "?to=//evil.example",
            "/ui/open/" + "a" * 43 + "#x",
            "/ui/open/" + "a" * 43 + "\n",
            "/ui/open/%2e%2e%2f" + "a" * 43,
            "/ui/open/",
            "/",
            ".evil.example/",
            ":80@evil.example/",
            "",
        )
    ]
    + [{"seconds": 0}, {"seconds": -1}, {"seconds": 2**70}, {"seconds": 1.5}],
}


@for_each(("question", "change"), [(name, change) for name, changes in WRONG.items() for change in changes])
def test_a_response_to_another_request_is_refused(question: str, change: dict[str, Any]) -> None:
    call, answer = QUESTIONS[question]
    with pytest.raises(errors.UnexpectedResponse):
        call(CannedClient(json(answer | change)))


def test_a_validation_is_true_only_if_it_is_valid() -> None:
    assert edge(CannedClient(json(VALIDATION)))
    for change in (INVALID, UNKNOWN):
        assert not edge(CannedClient(json(VALIDATION | edges_of(change) | {"verdict": change["verdict"]})))


def test_an_op_without_an_edge_is_looked_up_in_the_pipeline() -> None:
    answer = CHURN | {"versions": [PCA, FOREST, BESIDE]}
    graph = PIPELINE | {"ops": ["pca", "forest", "beside"]}
    assert pipeline(CannedClient(json(answer), json(graph)))
    more = graph | {"edges": [["pca", "forest"], ["pca", "beside"]]}
    resolution = RESOLUTION | {"versions": [VERSION, FOREST_VERSION, VERSION | BESIDE]}
    calls: list[tuple[Call, Any]] = [
        (pipeline, answer),
        (waited, answer),
        (lambda client: client.resolve("churn"), resolution),
        (pipeline, CHURN | {"edges": []}),
    ]
    for call, found in calls:
        with pytest.raises(errors.UnexpectedResponse, match="all edges of the pipeline churn"):
            call(CannedClient(json(found), json(more)))


def test_an_op_without_an_edge_in_a_past_state_is_not_looked_up() -> None:
    """The pipeline may have another graph now."""
    answer = CHURN | {"versions": [PCA, FOREST, BESIDE]}
    assert CannedClient(json(answer)).validate_pipeline("churn", as_of="1")
    resolution = RESOLUTION | {"versions": [VERSION, FOREST_VERSION, VERSION | BESIDE]}
    assert len(CannedClient(json(resolution)).resolve("churn", as_of="1").versions) == 3


# --- lists ----------------------------------------------------------------------------------------------------------


LISTS: dict[str, tuple[Call, str, Callable[[int], Any]]] = {
    "versions": (lambda client: client.versions("pca"), "versions", lambda n: VERSION | {"sequence": 900 - n}),
    "ops": (lambda client: client.ops(), "ops", lambda n: OP | {"name": f"o{n:03}"}),
    "links": (lambda client: client.links(), "links", lambda n: LINK | {"position": 900 - n}),
    "tags": (lambda client: client.tags(), "tags", lambda n: TAG | {"position": 900 - n}),
    "moves": (lambda client: client.tags(history=True), "tags", lambda n: TAG | {"position": 900 - n, "version": None}),
    "tags of one moment": (lambda client: client.tags("pca"), "tags", lambda n: TAG | {"tag": f"t{n:03}"}),
    "pipelines": (lambda client: client.pipelines(), "pipelines", lambda n: PIPELINE | {"name": f"p{n:03}"}),
    "uploads": (
        lambda client: client.uploads(),
        "uploads",
        lambda n: UPLOAD | {"upload": f"u{n:03}", "expires_at": AT["registered_at"]},
    ),
}
# The rows of each page, of which only the last of ENDS has no cursor.
ENDS: list[list[list[int]]] = [[[0, 1], [2], [3, 4, 5]], [[0]], [[]], [[0], []]]
ENDLESS: dict[str, list[list[int]]] = {
    "the same page": [[0], [0]],
    "a page of before": [[0], [1], [0]],
    "older and older": [[5], [4]],
    "a row twice": [[0, 1, 1]],
    "the last row again": [[0, 1], [1, 2]],
    "a row out of order": [[0, 2, 1]],
    "an empty page": [[0], []],
    "only empty pages": [[]],
}


def pages(key: str, row: Callable[[int], Any], rows: list[list[int]], *, end: bool) -> list[CannedResponse]:
    """Return the pages of a list with a cursor each; `end`: the last page has none."""
    head = {"op": "pca"} if key == "versions" else {}
    cursors = [f"c{number}" for number in range(len(rows))]
    return [
        json({**head, key: [row(n) for n in page], "next_cursor": None if end and cursor == cursors[-1] else cursor})
        for page, cursor in zip(rows, cursors, strict=True)
    ]


@pytest.mark.parametrize("name", LISTS)
def test_each_row_of_a_list_comes_after_the_one_before(name: str) -> None:
    call, key, row = LISTS[name]
    for rows in ENDS:
        client = CannedClient(*pages(key, row, rows, end=True))
        call(client)
        assert client.responses == []
    for rows in ENDLESS.values():
        client = CannedClient(*pages(key, row, rows, end=False))
        words = "an empty page that is not the last" if not rows[-1] else "rows out of order, or twice"
        with pytest.raises(errors.UnexpectedResponse, match=words):
            call(client)
        assert client.responses == []


def test_a_list_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    call, key, row = LISTS["tags"]
    endless = pages(key, row, [[n] for n in range(5)], end=False)
    monkeypatch.setattr("opstore_cli.transport.api.MAX_PAGES", 3)
    with pytest.raises(errors.UnexpectedResponse, match="more than 3 pages"):
        call(CannedClient(*endless[:3]))
    monkeypatch.setattr("opstore_cli.transport.api.MAX_LIST", 200)
    with pytest.raises(errors.UnexpectedResponse, match="too long"):
        call(CannedClient(*endless[3:]))


def test_a_page_has_no_more_rows_than_asked_for() -> None:
    with pytest.raises(errors.UnexpectedResponse, match="2 rows"):
        CannedClient(json({"links": [LINK | {"position": 2}, LINK]})).links("pca", limit=1)


# --- statuses, headers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [103, 202, 204, 206, 299])
def test_a_record_with_another_status_than_success_is_refused(status: int) -> None:
    with pytest.raises(errors.UnexpectedResponse, match=f"the status {status}"):
        CannedClient(json(VERSION, status)).show("pca")


@pytest.mark.parametrize("status", [103, 200, 201, 206])
def test_an_empty_response_must_have_the_status_204(status: int) -> None:
    CannedClient(CannedResponse(204, {}, b"")).untag("pca", "stable")
    with pytest.raises(errors.UnexpectedResponse, match=f"the status {status}"):
        CannedClient(json({}, status)).untag("pca", "stable")


def test_bytes_with_another_status_are_refused() -> None:
    with pytest.raises(errors.UnexpectedResponse, match="the status 203"):
        CannedClient(CannedResponse(203, {}, b"")).pull("pca")


@pytest.mark.parametrize("header", ["[" * 60_000, '{"a":' * 10_000])
def test_a_record_in_a_header_that_is_nested_deeply_is_requested_instead(header: str) -> None:
    response = CannedResponse(200, {routes.SERVED_RECORD: header, "ETag": f'"{VERSION["digest"]}"'}, b"0123456789")
    assert CannedClient(response, json(VERSION)).pull("pca") == b"0123456789"


@pytest.mark.parametrize("etag", ["", "a", '"a\r\nX: y"', '"a"b"', "*", '"' + "a" * 300 + '"', '"é"'])
def test_an_etag_that_no_request_can_repeat_is_none(etag: str) -> None:
    headers = {"Content-Type": routes.JSON, "ETag": etag}
    client = CannedClient(CannedResponse(200, headers, records.encode(CHURN)))
    assert client._api.get_if_changed("/x", records.Validation, {}, None)[1] is None
