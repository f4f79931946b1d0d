"""The drawing of a pipeline has every op and edge, cuts nothing off, and has no overlapping boxes."""

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opstore_daemon.protocol.records import EdgeVerdict, OpVersion, Validation
from opstore_daemon.web.page.graph_drawing import (
    HEIGHT,
    MARGIN,
    MAX_BOXES,
    MAX_SEGMENTS,
    MAX_WIDTH,
    MIN_WIDTH,
    Drawing,
    draw,
)

MOST = 14  # ops


@st.composite
def graphs(draw_: st.DrawFn) -> Validation:
    """Generate an acyclic graph of some ops, connected or not."""
    count = draw_(st.integers(1, MOST))
    names = [f"op_{number}" for number in range(count)]
    pairs = list(combinations(names, 2))
    edges = draw_(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    return graph(names, edges)


def graph(names: list[str], edges: list[tuple[str, str]]) -> Validation:
    ops = {name: OpVersion(op=name, version="1.0.0") for name in names}
    verdicts = [
        EdgeVerdict(upstream=ops[up], downstream=ops[down], verdict="valid", basis="link", reason="")
        for up, down in edges
    ]
    return Validation(verdict="valid", edges=tuple(verdicts), versions=tuple(ops.values()))


def drawn(found: Validation) -> Drawing:
    made = draw(found)
    assert made is not None
    return made


def points(path: str) -> list[tuple[float, float]]:
    """Return the points where the pieces of a path begin and end."""
    ends = re.findall(r"[MC](?:[-\d.e]+ [-\d.e]+ [-\d.e]+ [-\d.e]+ )?([-\d.e]+) ([-\d.e]+)(?=C|$)", path)
    return [(float(x), float(y)) for x, y in ends]


@pytest.mark.slow
@given(graphs())
def test_everything_is_in_the_drawing_and_nothing_overlaps(found: Validation) -> None:
    made = drawn(found)
    assert [box.op for box in made.boxes] == list(found.versions)
    assert [line.edge for line in made.lines] == list(found.edges)
    for box in made.boxes:
        assert 0 <= box.x <= made.width - made.box_width
        assert 0 <= box.y <= made.height - HEIGHT
    for one, other in combinations(made.boxes, 2):
        assert abs(one.x - other.x) >= made.box_width or abs(one.y - other.y) >= HEIGHT
    _check_lines(made)
    for place in (0, -1):
        ends = [points(line.path)[place] for line in made.lines]
        assert len(set(ends)) == len(ends), "each line leaves its box, and has its arrowhead, at a place of its own"


def _check_lines(made: Drawing) -> None:
    boxes = {box.op.op: box for box in made.boxes}
    for line in made.lines:
        up, down = boxes[line.edge.upstream.op], boxes[line.edge.downstream.op]
        assert up.y + HEIGHT < down.y, "data flows down"
        (x0, y0), *between, (x1, y1) = points(line.path)
        assert (up.x < x0 < up.x + made.box_width, abs(y0 - up.y - HEIGHT) < 1) == (True, True)
        assert (down.x < x1 < down.x + made.box_width, down.y - 6 <= y1 <= down.y) == (True, True)
        for x, y in (*between, line.mark):
            assert 0 <= x <= made.width
            assert up.y < y < down.y + HEIGHT


@given(graphs())
def test_the_drawing_is_deterministic(found: Validation) -> None:
    assert draw(found) == draw(found)


def test_a_single_line_meets_the_middle_of_its_boxes() -> None:
    (line,) = drawn(graph(["up", "down"], [("up", "down")])).lines
    assert {x for x, _ in points(line.path)} == {MARGIN + MIN_WIDTH / 2}


def test_boxes_are_as_wide_as_the_longest_label_and_a_long_name_is_shortened_in_the_middle() -> None:
    made = drawn(graph(["a", "random_forest"], []))
    assert [box.label for box in made.boxes] == ["a", "random_forest"]
    assert MIN_WIDTH < made.box_width < MAX_WIDTH
    for letter, most in (("a", 18), ("m", 14), ("l", 27)):
        made = drawn(graph([letter * 90 + "_of_may"], []))
        (box,) = made.boxes
        assert box.label.startswith(letter * 6)
        assert box.label.endswith("may")
        assert len(box.label) <= most
        assert made.box_width <= MAX_WIDTH


def test_a_graph_that_would_take_seconds_to_lay_out_is_not_drawn() -> None:
    names = [f"op_{number:04d}" for number in range(MAX_BOXES + 1)]
    assert draw(graph(names[:-1], [])) is not None
    assert draw(graph(names, [])) is None, "too many boxes"
    dense = list(combinations(names[:30], 2))
    segments = sum(int(down[3:]) - int(up[3:]) for up, down in dense)
    assert segments > MAX_SEGMENTS > len(dense)
    assert draw(graph(names[:30], dense)) is None, "edges over too many rows"
    assert draw(graph(names[:12], list(combinations(names[:12], 2)))) is not None
