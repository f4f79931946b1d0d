"""What is shown of transfers, by a clock that the test moves."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

from opstore_cli.output import progress
from opstore_cli.output.cells import format_size
from opstore_cli.output.progress import BarProgress, LogProgress, RateMeter, describe, duration

MB = 1_000_000


class Clock:
    """A clock that stands still unless it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lines_of(
    parts: Sequence[tuple[str, int | None]], moves: Sequence[tuple[float, int, int, int | None]], what: str = "push x"
) -> list[str]:
    """The lines for moves: (seconds since the first, the transfer, bytes, all)."""
    clock, written = Clock(), list[str]()
    lines = LogProgress(what, parts, written.append, clock)
    for at, number, done, total in moves:
        clock.now = 100.0 + at
        lines.moved(number, done, total)
    return written


def test_a_short_transfer_writes_no_line() -> None:
    assert lines_of([("", None)], [(0, 0, 0, MB), (4.9, 0, MB, MB)]) == []


def test_a_long_one_writes_a_line_every_few_seconds() -> None:
    moves = [(second, 0, second * 100 * MB, 2000 * MB) for second in range(21)]
    assert lines_of([("", None)], moves) == [
        "push x: 500 MB of 2.0 GB (25 %), 100 MB/s, 15 s left",
        "push x: 1.0 of 2.0 GB (50 %), 100 MB/s, 10 s left",
        "push x: 1.5 of 2.0 GB (75 %), 100 MB/s, 5 s left",
        "push x: 2.0 of 2.0 GB (100 %), finishing",
    ]


def test_what_an_earlier_process_did_does_not_count_for_the_pace() -> None:
    moves = [(second, 0, 1000 * MB + second * 10 * MB, 2000 * MB) for second in range(6)]
    assert lines_of([("", None)], moves) == ["push x: 1.1 of 2.0 GB (52 %), 10.0 MB/s, 95 s left"]


def test_the_pace_is_that_of_the_last_seconds() -> None:
    fast = [(second, 0, second * 100 * MB, 9000 * MB) for second in range(11)]
    slow = [(10 + second, 0, 1000 * MB + second * MB, 9000 * MB) for second in range(1, 12)]
    assert lines_of([("", None)], fast + slow)[-1] == "push x: 1.0 of 9.0 GB (11 %), 1.0 MB/s, 2 h left"


def test_a_source_of_unknown_size_has_no_end() -> None:
    moves = [(second, 0, second * 100 * MB, None) for second in range(6)]
    assert lines_of([("", None)], moves) == ["push x: 500 MB, 100 MB/s"]


def test_of_several_the_whole_is_told() -> None:
    parts = [("a", 500 * MB), ("b", None), ("c", 1000 * MB)]
    moves = [(0.0, 0, 0, 500 * MB), (1.0, 0, 500 * MB, 500 * MB), (1.0, 1, 0, 500 * MB), (6.0, 1, 100 * MB, 500 * MB)]
    assert lines_of(parts, moves, "push 3 ops") == ["push 3 ops: 0 done, 600 MB of 2.0 GB (30 %), 100 MB/s, 14 s left"]


def test_where_not_all_sizes_are_known_the_whole_has_no_end() -> None:
    moves = [(0.0, 0, 0, 500 * MB), (5.0, 0, 50 * MB, 500 * MB)]
    assert lines_of([("a", None), ("b", None)], moves, "p") == ["p: 0 done, 50.0 MB, 10.0 MB/s"]


@pytest.mark.parametrize(
    ("done", "total", "rate", "said"),
    [
        (0, 0, 0.0, "0 B of 0 B (100 %), finishing"),
        (0, 10, 0.0, "0 of 10 B (0 %)"),
        (999, 1000, 1.0, "999 B of 1.0 kB (99 %), 1 B/s, 1 s left"),
        (5, None, 0.0, "5 B"),
        (1, 10**15, 1.0, "1 B of 1.0 PB (0 %), 1 B/s, 277777777778 h left"),
    ],
)
def test_what_is_told_of_one(done: int, total: int | None, rate: float, said: str) -> None:
    assert describe(done, total, rate) == said.replace("0 B of 0 B", "0 of 0 B")


def test_amounts_have_up_to_three_digits_and_durations_one_unit() -> None:
    assert [format_size(count) for count in (0, 999, 1000, 99_949, 99_950, 999_499, 999_500)] == [
        *("0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB")
    ]
    assert [duration(seconds) for seconds in (0.1, 99, 100, 5999, 6000)] == ["1 s", "99 s", "2 min", "100 min", "2 h"]


def test_a_pace_that_nobody_knows_yet_is_none() -> None:
    pace = RateMeter()
    assert pace.rate == 0
    pace.at(1.0, 100)
    assert pace.rate == 0


# --- bars -----------------------------------------------------------------------------------------------------------


class Drawn:
    """Stands where rich draws: the tasks that are there, by what they are called."""

    def __init__(self) -> None:
        self.tasks: dict[int, dict[str, Any]] = {}
        self.running = False

    def add_task(self, name: str, **told: Any) -> int:
        self.tasks[len(self.tasks) + 1] = {"name": name, **told}
        return len(self.tasks)

    def update(self, task: int, **told: Any) -> None:
        self.tasks[task].update(told)

    def remove_task(self, task: int) -> None:
        self.tasks[task]["name"] = None

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def rows(self) -> dict[str, str]:
        return {task["name"]: task["told"] for task in self.tasks.values() if task["name"]}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    made = Drawn()
    monkeypatch.setattr(progress, "_rich_progress", lambda _colored: made)
    return made


def test_a_bar_comes_after_half_a_second_and_goes_in_the_end(drawn: Drawn) -> None:
    clock = Clock()
    bars = BarProgress("push x", [("", None)], colored=False, clock=clock)
    for at in (0.0, 0.4):
        clock.now = 100 + at
        bars.moved(0, int(at * 10 * MB), 10 * MB)
    assert not drawn.running
    clock.now = 100.5
    bars.moved(0, 5 * MB, 10 * MB)
    assert (drawn.running, drawn.rows()) == (True, {"push x": "5.0 of 10.0 MB (50 %), 10.0 MB/s, 1 s left"})
    bars.stop()
    assert not drawn.running


def test_each_that_moves_has_a_bar_and_all_have_one(drawn: Drawn) -> None:
    clock = Clock()
    bars = BarProgress("pull 3 ops", [("a", MB), ("b", MB), ("c", MB)], colored=False, clock=clock)
    bars.moved(0, 0, MB)
    clock.now = 101
    bars.moved(0, MB // 2, MB)
    bars.moved(1, 0, MB)
    assert drawn.rows() == {
        "pull 3 ops": "0 done, 500 kB of 3.0 MB (16 %), 500 kB/s, 5 s left",
        "a": "500 kB of 1.0 MB (50 %), 500 kB/s, 1 s left",
        "b": "0 B of 1.0 MB (0 %)",
    }
    bars.moved(0, MB, MB)
    assert drawn.rows()["a"].endswith("finishing"), "said at once, since nothing may move for a while then"
    bars.ended(0)
    assert "a" not in drawn.rows()
    assert drawn.rows()["pull 3 ops"].startswith("1 done, ")


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_no_line_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    shown = progress._rich_progress(colored=False)
    shown.add_task(
        "a_name_that_is_rather_long", total=10, completed=3, told="5 done, 1.2 of 8.0 GB (15 %), 870 MB/s, 8 s left"
    )
    console = Console(width=columns, force_terminal=True)
    with console.capture() as captured:
        console.print(shown.get_renderable())
    plain = re.sub(r"\x1b\[[0-9;]*m", "", captured.get())
    (line,) = plain.splitlines()
    assert len(line) <= columns
    assert "1.2 of 8.0 GB" in line or columns < 60
