"""The OpenAPI document: valid, whole, and what the daemon does.

tests/support/conformance.py holds every exchange to it.
"""

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from opstore_daemon import OpStoreServer
from opstore_daemon.http_server.listener import Listener
from opstore_daemon.protocol import errors, routes
from opstore_daemon.protocol._version import __version__
from opstore_daemon.protocol.digests import digest_of
from opstore_daemon.protocol.names import is_name
from opstore_daemon.web.app import document
from opstore_daemon.web.framework import headers
from opstore_daemon.web.guards import SCOPES, is_page
from tests.daemon.protocol.test_names import ILLEGAL, LEGAL
from tests.support.conformance import conformance
from tests.support.for_each import for_each
from tests.support.http_client import Http
from tests.support.markdown import ROOT
from tests.support.places import Place
from tests.support.refusals import Watch
from tests.support.servers import READ_TOKEN, WRITE_TOKEN

DOCUMENT = conformance().document
PATHS: dict[str, Any] = DOCUMENT["paths"]
WITH_OBJECT_STORE = {"/v1/uploads/{upload}/parts/urls", "/v1/uploads/{upload}/parts"}  # test_direct_pushes.py
OPERATIONS = [(method.upper(), path) for path, item in PATHS.items() for method in item]
PARTS = {"op": "pca", "selector": "latest", "pipeline": "iris", "tag": "stable", "upload": "0" * 32, "run": "6"}
VALUES = {
    "sample": f"xxh128:{0:032}",
    "intact": "1",
    "grace": "3600",
    "purge": "1",
    "data": "1",
    "subset": "1/7",
    "rate": "1000000",
    "limit": "1",
    "label": "stage=test",
    "name": "pca",
    "cursor": "1",
    "select": ">=1",
    "valid_for": "forest",
    "op": "pca",
    "upstream": "pca",
    "downstream": "forest",
    "use": "pca@1.0.0",
    "exact_set": "1",
    "history": "1",
    "as_of": "1",
    "timeout": "60",
    "lock": "pca@1.0.0",
    "upgrade": "pca",
    "reference": "pca",
    "pipeline": "iris",
    "since": "1",
    "until": "2",
    "version": "pca@1.0.0",
    "set": f"sha256:{0:064}",
    "result": "passed",
    "command": f"sha256:{0:064}",
    "script": f"sha256:{0:064}",
}
RUN = {
    "edges": [["pca", "forest"]],
    "versions": ["pca@1.0.0", "forest@1.0.0"],
    "command": ["pytest"],
    "result": "failed",
    "reason": "exit code 1",
    "duration": 1.5,
    "output_digest": f"sha256:{0:064}",
    "output_size": 0,
}

BISECTION = {"command": ["pytest"], "good": 2, "bad": 7, "last_good": 2, "first_bad": 7}


def filled_in(path: str, **parts: str) -> str:
    for name, value in {**PARTS, **parts}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.fixture
def filled(http: Http, server: OpStoreServer) -> Http:
    """Return a client of a daemon that has what PARTS and VALUES name, and that goes on when it is told to stop."""
    server.on_stop = lambda: None
    return fill(http)


@pytest.fixture(scope="module")
def standing(lasting_place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    """Return a client of such a daemon for requests to which it does not matter what others have changed."""
    server = lasting_place.open(tmp_path_factory.mktemp("standing"))
    with closing(server), Listener(server) as listener, Http(listener.url) as client:
        server.on_stop = lambda: None
        yield fill(client)


def fill(http: Http) -> Http:
    http.push("pca", b"bytes")
    http.push("forest", b"bytes")
    http.post(routes.LINKS, {"upstream": "pca", "downstream": "forest"})
    http.post(routes.PIPELINES, {"name": "iris", "ops": ["pca", "forest"]})
    http.post(routes.TAGS, {"tag": "stable", "versions": ["pca"]})
    http.post(filled_in("/v1/pipelines/{pipeline}/runs"), RUN)
    http.push("pca", b"broken")
    return http


# --- the document -----------------------------------------------------------------------------------------------


def test_it_is_a_valid_openapi_document() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()
    assert DOCUMENT["info"]["version"] == __version__


def schemas(node: Any) -> Iterator[Any]:
    """Yield all schemas in the document: those of components, and the values of `schema`."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "schema":
                yield value
            yield from schemas(value)
    elif isinstance(node, list):
        for value in node:
            yield from schemas(value)


def test_every_pattern_of_a_schema_is_valid() -> None:
    found = [*schemas(DOCUMENT), *DOCUMENT["components"]["schemas"].values()]
    assert len(found) > 100
    for schema in found:
        jsonschema_rs.meta.validate(schema)
    # All in one: each alone would compile the components again.
    whole = {"anyOf": found, "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def test_every_reference_resolves() -> None:
    refs = set(re.findall(r'"\$ref":"#/components/(\w+)/([^"]+)"', document()[0].decode()))
    assert len(refs) > 30
    for kind, name in refs:
        assert name in DOCUMENT["components"][kind]
    used = {name for kind, name in refs if kind == "responses"}
    assert set(DOCUMENT["components"]["responses"]) - used == {"MethodNotAllowed"}  # which no method of a path has


def test_every_operation_has_a_unique_id_and_a_description() -> None:
    names = [PATHS[path][method.lower()]["operationId"] for method, path in OPERATIONS]
    assert len(set(names)) == len(names)
    for method, path in OPERATIONS:
        operation = PATHS[path][method.lower()]
        assert operation["summary"]
        told = [*operation["parameters"], *(PATHS[path]["get"]["responses"].values() if method == "GET" else ())]
        assert all(one.get("description") or "$ref" in one for one in told), f"{method} {path}"


def test_its_pattern_accepts_the_names_that_the_daemon_accepts() -> None:
    schema = DOCUMENT["components"]["schemas"]["NewPipeline"]["properties"]["name"]
    validator = jsonschema_rs.Draft202012Validator(schema)
    encodable = [name for name in (*LEGAL, *ILLEGAL) if name.isprintable()]  # a lone surrogate can't stand in JSON
    for name in (*encodable, "a\n", "con", "con.txt", "com5.tar.gz", "console", "a..b", "a" * 128, "a" * 129):
        assert validator.is_valid(name) == is_name(name), name


ONLY_IN_FEW = {"damaged"}  # keys that a response has only if there is something to say


def test_every_key_of_a_response_is_required() -> None:
    for name in ("VersionRecord", "Upload", "Problem", "Status"):
        schema = DOCUMENT["components"]["schemas"][name]
        assert schema["required"] == [key for key in schema["properties"] if key not in ONLY_IN_FEW]


# --- what serves ------------------------------------------------------------------------------------------------


def test_every_method_of_every_rule_is_in_it_and_nothing_else(server: OpStoreServer) -> None:
    served = {
        (method, re.sub("<([a-z]+)>", r"{\1}", rule.rule))
        for rule in server.flask.url_map.iter_rules()
        if not is_page(rule.rule)
        for method in rule.methods or ()
    }
    assert served == set(OPERATIONS)


def test_every_path_of_the_protocol_is_in_it() -> None:
    spelled = [value for name, value in vars(routes).items() if name.isupper() and str(value).startswith("/")]
    assert {re.sub("<([a-z]+)>", r"{\1}", path) for path in spelled if not is_page(path)} == set(PATHS)


def test_it_is_served_with_a_token(http: Http, watch: Watch) -> None:
    answer = http.with_token(READ_TOKEN).get(routes.DOCUMENT)
    assert (answer.status_code, answer.content) == (200, document()[0])
    assert answer.headers["ETag"] == f'"{digest_of(answer.content)}"'
    told = http.ask("HEAD", routes.DOCUMENT)
    assert (told.content, told.headers["Content-Length"]) == (b"", str(len(answer.content)))
    for given in (answer.headers["ETag"], f"W/{answer.headers['ETag']}", "*"):
        again = http.get(routes.DOCUMENT, headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", answer.headers["ETag"])
    assert http.get(routes.DOCUMENT, headers={"If-None-Match": '"another"'}).status_code == 200
    watch.assert_problem(http.with_token(None).get(routes.DOCUMENT), 401, "TokenRequired")
    watch.assert_problem(http.get(f"{routes.DOCUMENT}?a=1"), 400, "InvalidRequest")


def test_it_is_generated_once_per_process() -> None:
    assert document() is document()


def test_every_operation_requires_its_documented_scope(filled: Http) -> None:
    tokens = {"read": READ_TOKEN, "write": WRITE_TOKEN}
    for method, path in OPERATIONS:
        security = PATHS[path][method.lower()]["security"]
        if not security:
            assert filled.with_token(None).ask(method, filled_in(path)).status_code == 200
            continue
        ((wanted,),) = (requirement["token"] for requirement in security)
        assert filled.with_token(None).ask(method, filled_in(path)).status_code == 401
        for scope, token in tokens.items():
            refused = filled.with_token(token).ask(method, filled_in(path)).status_code == 403
            assert refused == (SCOPES.index(scope) < SCOPES.index(wanted)), f"{method} {path} {scope}"


@pytest.mark.slow
@for_each(("method", "path"), [one for one in OPERATIONS if one[0] != "HEAD"])
def test_an_operation_takes_its_documented_parameters_and_no_others(standing: Http, method: str, path: str) -> None:
    operation = PATHS[path][method.lower()]
    known = {one["name"]: one for one in operation["parameters"] if one["in"] == "query"}
    needed = [(name, VALUES[name]) for name, one in known.items() if one["required"]]

    def ask(*query: tuple[str, str]) -> str | None:
        """Return the reason for which the query is refused."""
        body: dict[str, Any] = {"json": {}} if "requestBody" in operation else {}
        if path == "/v1/uploads/{upload}" and method == "PATCH":
            body = {"data": b"", "headers": {"Content-Type": routes.APPEND_TYPE, "Upload-Offset": "0"}}
        answer = standing.ask(method, filled_in(path), params=list(query), **body)
        reason: str | None = answer.json()["details"].get("reason") if answer.status_code == 400 else None
        return reason if reason and "parameter" in reason else None

    assert ask(*needed) is None
    for name, one in known.items():
        others = [pair for pair in needed if pair[0] != name]
        value = (name, VALUES[name])
        assert ask(*others, value) is None
        several = one["schema"]["type"] == "array"
        assert (ask(*others, value, value) is None) == several, name
        if one["required"]:
            assert ask(*others) == f"the query parameter {name!r} is missing"
    for name in ("unknown", "Limit", "limit[]", ""):
        assert ask(*needed, (name, "1")), name


def test_every_documented_success_occurs(filled: Http) -> None:
    answered = {
        (method, path, filled.ask(method, filled_in(path, **parts), **options).status_code)
        for method, path, parts, options in requests_that_go_well(filled)
    }
    told = {
        (method, path, int(status))
        for method, path in OPERATIONS
        for status in PATHS[path][method.lower()]["responses"]
        if status < "4" and path not in WITH_OBJECT_STORE
    }
    assert answered == told


def requests_that_go_well(http: Http) -> Iterator[tuple[str, str, dict[str, str], dict[str, Any]]]:
    """Yield method, path, path parameters and the rest of each request, in an order in which each succeeds."""
    upload = {"upload": http.upload(b"bytes")}
    for path, item in PATHS.items():
        for method in {"GET", "HEAD"} & {name.upper() for name in item}:
            parameters = item[method.lower()]["parameters"]
            needed = {
                one["name"]: VALUES[one["name"]] for one in parameters if one["in"] == "query" and one["required"]
            }
            yield method, path, upload, {"params": needed}
            if any(one["name"] == "If-None-Match" for one in parameters):
                etag = http.get(filled_in(path), params=needed).headers["ETag"]
                yield method, path, {}, {"params": needed, "headers": {"If-None-Match": etag}}
    one, bytes_, versions = "/v1/ops/{op}", "/v1/ops/{op}/versions/{selector}/bytes", "/v1/ops/{op}/versions"
    yield "GET", bytes_, {}, {"headers": {"Range": "bytes=0-1"}}
    yield "PATCH", one, {}, {"json": {"compat": "exact"}}
    yield "PATCH", f"{versions}/{{selector}}", {}, {"json": {"message": "text"}}
    yield "POST", routes.UPLOADS, {}, {"json": {}}
    append = {"Content-Type": routes.APPEND_TYPE, "Upload-Offset": "5"}
    yield "PATCH", "/v1/uploads/{upload}", upload, {"data": b"more", "headers": append}
    yield "DELETE", "/v1/uploads/{upload}", upload, {}
    for _ in range(2):
        yield "POST", versions, {"op": "new"}, {"json": {"fields": {}}}
        yield "POST", routes.PIPELINES, {}, {"json": {"name": "new", "ops": ["new"]}}
    for state in ("valid", "revoked"):
        yield "POST", routes.LINKS, {}, {"json": {"upstream": "new", "downstream": "pca", "state": state}}
    yield "POST", "/v1/pipelines/{pipeline}/check", {}, {"json": {"edges": [], "versions": []}}
    version = http.get(filled_in("/v1/ops/{op}/versions/{selector}")).json()
    locked = {key: version[key] for key in ("op", "subversions", "digest", "size")}
    upgrade = {"lock": {"edges": [], "versions": [locked]}, "op": locked["op"]}
    yield "POST", "/v1/pipelines/{pipeline}/upgrade", {}, {"json": upgrade}
    for reason in ("broken", None):
        yield "PUT", "/v1/ops/{op}/versions/{selector}/yank", {"selector": "1.0.0"}, {"json": {"reason": reason}}
    yield "POST", routes.TAGS, {}, {"json": {"tag": "new", "versions": ["pca", "forest"]}}
    yield "POST", "/v1/pipelines/{pipeline}/runs", {}, {"json": RUN}
    yield "POST", "/v1/pipelines/{pipeline}/bisections", {}, {"json": BISECTION}
    yield "DELETE", "/v1/ops/{op}/tags/{tag}", {}, {}
    yield "POST", routes.GARBAGE, {}, {"json": {"grace": 0}}
    yield "POST", routes.REMOVALS, {}, {"json": {"references": ["new@1.0.0"], "dry_run": True}}
    yield "POST", routes.FSCK, {}, {}
    yield "POST", routes.SESSIONS, {}, {}
    yield "DELETE", routes.SESSIONS, {}, {}
    yield "DELETE", "/v1/pipelines/{pipeline}", {"pipeline": "new"}, {}
    yield "POST", routes.STOP, {}, {}


def test_a_run_has_a_location(filled: Http) -> None:
    answer = filled.post(filled_in("/v1/pipelines/{pipeline}/runs"), RUN)
    assert filled.get(answer.headers["Location"]).json() == answer.json()["run"]


def test_a_created_resource_has_a_location(filled: Http) -> None:
    made = [
        filled.post("/v1/ops/new/versions", {"fields": {}}),
        filled.post(routes.PIPELINES, {"name": "new", "ops": ["new"]}),
        filled.post(routes.UPLOADS, {"size": 5}),
    ]
    for answer in made:
        assert answer.status_code == 201
        there = filled.get(answer.headers["Location"]).json()
        told = answer.json()
        assert {key: told[key] for key in there if key != "created"} == {
            k: v for k, v in there.items() if k != "created"
        }
    assert "Location" not in filled.post(routes.PIPELINES, {"name": "new", "ops": ["new"]}).headers


# --- errors and headers -----------------------------------------------------------------------------------------


AT_THE_START = {
    "InvalidSetting",
    "UntrustedHome",
    "SchemaTooNew",
    "ListenRefused",
    "HomeLocked",
    "StoreInUse",
    "DatabaseLost",
    "DatabaseDamaged",
    "BlobsLost",
    "StoreMismatch",
    "StoreIdDamaged",
    "MigrationUnfinished",
    "RestoreUnfinished",
    "LibraryMissing",
}  # or in the saver, and mapped there
OF_THE_PAGE = {"SessionRequired"}
INSIDE = {"Refused", "NotFound", "Conflict", "IntegrityFailure", "Unavailable", "OpStoreError", "BudgetExceeded"}
TO_NOBODY = {"ConnectionLost"}  # the client has gone


def raised() -> set[str]:
    """Return the names of the errors that the daemon's code raises or passes on."""
    found: set[str] = set()
    for folder in ("web", "store", "rules", "protocol", "savers", "metadata"):
        for path in (ROOT / "opstore_daemon" / folder).rglob("*.py"):
            if "conformance" in path.parts or path.name in ("errors.py", "headers.py"):
                continue
            # Not parsed: that takes seconds for all files. Prose names errors without their module.
            found |= set(re.findall(r"\berrors\.(\w+)", path.read_text("utf-8")))
    return found & {error.__name__ for error in errors.all_errors()}


def codes(response: Any) -> list[str]:
    """Return the codes of the errors of a response."""
    listed: list[str] = response["content"][routes.PROBLEM]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    return listed


def test_it_has_exactly_the_errors_that_the_daemon_can_return() -> None:
    listed = [code for response in DOCUMENT["components"]["responses"].values() for code in codes(response)]
    assert raised() - AT_THE_START - INSIDE - OF_THE_PAGE - TO_NOBODY <= set(listed)
    assert set(listed) <= raised() | {"HeadersTooLarge", "AmbiguousFraming"}  # of the request parser
    assert not set(listed) & (AT_THE_START | INSIDE | OF_THE_PAGE)


def test_every_error_is_listed_under_its_status_with_its_message() -> None:
    known = {error.__name__: error for error in errors.all_errors()}
    for method, path in OPERATIONS:
        for status, response in PATHS[path][method.lower()]["responses"].items():
            if "$ref" in response:
                whole = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
                for code in codes(whole):
                    assert str(known[code].status) == status
                    assert known[code].message in whole["description"]


def test_every_declared_header_is_in_it() -> None:
    told = document()[0].decode()
    declared = [value for value in vars(headers).values() if isinstance(value, headers.Header)]
    assert len(declared) > 12
    for header in (*declared, *headers.OF_ERRORS.values()):
        assert f'"{header.name}"' in told
