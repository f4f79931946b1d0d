"""Routes: every part of a path is percent-encoded."""

import re
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol import errors, routes

DOTS = ("", ".", "..")
parts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda part: part not in DOTS)


def test_names_numbers_and_digests_are_not_encoded_in_a_path() -> None:
    assert routes.path(routes.OP, op="random_forest") == "/v1/ops/random_forest"
    assert routes.path(routes.VERSION, op="pca", selector="1.2.3") == "/v1/ops/pca/versions/1.2.3"
    digest = "sha256:" + "ab" * 32
    assert routes.path(routes.BYTES, op="pca", selector=digest) == f"/v1/ops/pca/versions/{digest}/bytes"
    assert routes.path(routes.OPS) == routes.OPS


@pytest.mark.parametrize(
    ("part", "encoded"),
    [
        ("a/b", "a%2Fb"),
        ("../x", "..%2Fx"),
        ("a?b=c", "a%3Fb%3Dc"),
        ("a#b", "a%23b"),
        ("%2F", "%252F"),
        ("%2e%2e", "%252e%252e"),
        ("a b", "a%20b"),
        ("a+b", "a%2Bb"),
        ("a\r\nX: y", "a%0D%0AX:%20y"),
        ("a\x00", "a%00"),
        ("é", "%C3%A9"),
        ("a\\b", "a%5Cb"),
        (">=1.2,<2", "%3E%3D1.2%2C%3C2"),
        ("<selector>", "%3Cselector%3E"),
        ("...", "..."),
    ],
)
def test_other_characters_are_percent_encoded(part: str, encoded: str) -> None:
    assert routes.path(routes.VERSION, op=part, selector="1") == f"/v1/ops/{encoded}/versions/1"


@pytest.mark.parametrize("part", DOTS)
def test_dots_as_a_part_are_refused(part: str) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        routes.path(routes.VERSION, op=part, selector="1")
    assert repr(part) in caught.value.text


@given(parts, parts)
def test_parts_of_any_text_are_decoded_unchanged_and_add_no_segment(op: str, selector: str) -> None:
    path = routes.path(routes.BYTES, op=op, selector=selector)
    assert path.isascii()
    assert path.isprintable()
    split = urlsplit("http://localhost" + path)
    assert split.path == path
    root, v1, ops, one, versions, other, last = path.split("/")
    assert (root, v1, ops, versions, last) == ("", "v1", "ops", "versions", "bytes")
    assert (unquote(one), unquote(other)) == (op, selector)


def test_every_route_belongs_to_the_api_the_page_or_a_health_check() -> None:
    spelled = [value for name, value in vars(routes).items() if name.isupper() and str(value).startswith("/")]
    assert len(spelled) > 10
    outside = {path for path in spelled if not path.startswith(("/v1/", routes.PAGES))}
    assert outside == {"/healthz", "/readyz", routes.HOME}
    spelled = [path for path in spelled if path not in (routes.HOME, routes.PAGES)]
    assert all(re.fullmatch(r"(/(<[a-z]+>|[a-z0-9.]+))+", path) for path in spelled)
