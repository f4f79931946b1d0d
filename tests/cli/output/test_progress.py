"""Progress lines and bars of transfers, with a clock that the test sets."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from opstore_cli.output import progress
from opstore_cli.output.progress import BarProgress, LogProgress, RateMeter, describe, format_duration
from opstore_daemon.protocol.sizes import format_size
from tests.support.clock import START, Clock
from tests.support.machines import Machine

MB = 1_000_000


def lines_of(
    parts: Sequence[tuple[str, int | None]], moves: Sequence[tuple[float, int, int, int | None]], what: str = "push x"
) -> list[str]:
    """Return the lines for moves of (seconds since the first, index of the transfer, bytes done, total bytes)."""
    clock, written = Clock(), list[str]()
    lines = LogProgress(what, parts, written.append, clock)
    for at, number, done, total in moves:
        clock.now = START + at
        lines.moved(number, done, total)
    return written


def test_a_short_transfer_writes_no_line() -> None:
    assert lines_of([("", None)], [(0, 0, 0, MB), (4.9, 0, MB, MB)]) == []


def test_a_long_transfer_writes_a_line_every_few_seconds() -> None:
    moves = [(second, 0, second * 100 * MB, 2000 * MB) for second in range(21)]
    assert lines_of([("", None)], moves) == [
        "push x: 500 MB of 2.0 GB (25 %), 100 MB/s, 15 s left",
        "push x: 1.0 of 2.0 GB (50 %), 100 MB/s, 10 s left",
        "push x: 1.5 of 2.0 GB (75 %), 100 MB/s, 5 s left",
        "push x: 2.0 of 2.0 GB (100 %), finishing",
    ]


def test_bytes_of_an_earlier_process_do_not_count_for_the_rate() -> None:
    moves = [(second, 0, 1000 * MB + second * 10 * MB, 2000 * MB) for second in range(6)]
    assert lines_of([("", None)], moves) == ["push x: 1.1 of 2.0 GB (52 %), 10.0 MB/s, 95 s left"]


def test_the_rate_is_an_average_over_the_last_seconds() -> None:
    fast = [(second, 0, second * 100 * MB, 9000 * MB) for second in range(11)]
    slow = [(10 + second, 0, 1000 * MB + second * MB, 9000 * MB) for second in range(1, 12)]
    assert lines_of([("", None)], fast + slow)[-1] == "push x: 1.0 of 9.0 GB (11 %), 1.0 MB/s, 2 h left"


def test_a_source_of_unknown_size_has_no_percentage_and_no_remaining_time() -> None:
    moves = [(second, 0, second * 100 * MB, None) for second in range(6)]
    assert lines_of([("", None)], moves) == ["push x: 500 MB, 100 MB/s"]


def test_a_line_about_several_transfers_describes_their_sum() -> None:
    parts = [("a", 500 * MB), ("b", None), ("c", 1000 * MB)]
    moves = [(0.0, 0, 0, 500 * MB), (1.0, 0, 500 * MB, 500 * MB), (1.0, 1, 0, 500 * MB), (6.0, 1, 100 * MB, 500 * MB)]
    assert lines_of(parts, moves, "push 3 ops") == ["push 3 ops: 0 done, 600 MB of 2.0 GB (30 %), 100 MB/s, 14 s left"]


def test_the_sum_has_no_percentage_unless_all_sizes_are_known() -> None:
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
def test_the_description_of_one_transfer(done: int, total: int | None, rate: float, said: str) -> None:
    assert describe(done, total, rate) == said.replace("0 B of 0 B", "0 of 0 B")


def test_sizes_have_up_to_three_digits_and_durations_one_unit() -> None:
    assert [format_size(count) for count in (0, 999, 1000, 99_949, 99_950, 999_499, 999_500)] == [
        *("0 B", "999 B", "1.0 kB", "99.9 kB", "100 kB", "999 kB", "1.0 MB")
    ]
    assert [format_duration(seconds) for seconds in (0.1, 99, 100, 5999, 6000)] == [
        "1 s",
        "99 s",
        "2 min",
        "100 min",
        "2 h",
    ]


def test_the_rate_is_zero_before_the_second_sample() -> None:
    meter = RateMeter()
    assert meter.rate == 0
    meter.record(1.0, 100)
    assert meter.rate == 0


# --- bars -----------------------------------------------------------------------------------------------------------


class Bars(BarProgress):
    """Bars on a terminal of 80 columns, with a clock that the test sets."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, title: str, parts: Sequence[tuple[str, int | None]], unit: str = ""
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        self.time = Clock()
        super().__init__(title, parts, colored=False, clock=self.time, unit=unit)

    def rows(self) -> list[str]:
        """Return the rows without the bar itself, with single spaces."""
        if self._bars is None:
            return []
        console = Console(width=80, force_terminal=True, color_system=None)
        with console.capture() as captured:
            console.print(self._bars.get_renderable())
        return [" ".join(re.sub("[━╸╺]+", "", line).split()) for line in captured.get().splitlines()]


def test_rows_are_counted_as_such_without_a_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars(monkeypatch, "copying 120000 rows", [("", None)], "rows")
    for after in (0.0, 0.5, 0.7, 0.9):
        bars.time.now = START + after
        bars.moved(0, int(after * 100_000), 120_000)
    assert bars.rows() == ["copying 120000 rows 90,000 of 120,000 rows 00:01"]
    bars.stop()
    clock, written = Clock(), list[str]()
    lines = LogProgress("copying", [("", None)], written.append, clock, unit="rows")
    for clock.now in (START, START + 6):
        lines.moved(0, 3000, 12_000)
    assert written == ["copying: 3,000 of 12,000 rows"]


def test_bars_appear_after_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars(monkeypatch, "push x", [("", None)])
    for after in (0.0, 0.4):
        bars.time.now = START + after
        bars.moved(0, int(after * 10 * MB), 10 * MB)
    assert bars.rows() == []
    for after in (0.5, 0.7, 0.9):
        bars.time.now = START + after
        bars.moved(0, int(after * 10) * MB, 10 * MB)
    assert bars.rows() == ["push x 10.0 MB/s 9.0/10.0 MB 00:01"]
    bars.stop()


def test_each_running_transfer_and_the_total_have_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars(monkeypatch, "pull 3 ops", [("a", MB), ("b", MB), ("c", MB)])
    bars.moved(0, 0, MB)
    bars.time.now = START + 1
    bars.moved(0, MB // 2, MB)
    bars.moved(1, 0, MB)
    assert bars.rows() == [
        "pull 3 ops, 0 done ? 0.5/3.0 MB --:--",
        "a ? 0.5/1.0 MB --:--",
        "b ? 0.0/1.0 MB --:--",
    ]
    bars.moved(0, MB, MB)
    assert bars.rows()[1] == "a ? 1.0/1.0 MB 00:00", "at once: nothing may move for a while now"
    bars.ended(0)
    assert [row.split(" ? ")[0] for row in bars.rows()] == ["pull 3 ops, 1 done", "b"]
    bars.stop()


def test_bytes_of_an_earlier_process_do_not_count_for_the_speed_of_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    bars = Bars(monkeypatch, "pull 2 ops", [("a", 1000 * MB), ("b", 1000 * MB)])
    for second in range(1, 5):
        bars.time.now = START + second
        bars.moved(0, 800 * MB + second * MB, 1000 * MB)
        if second > 1:
            bars.moved(1, 500 * MB, 1000 * MB)
    assert bars.rows()[0].startswith("pull 2 ops, 0 done 1.0 MB/s 1.3/2.0 GB ")
    assert bars.rows()[1].startswith("a 1.0 MB/s 0.8/1.0 GB ")
    bars.stop()


@pytest.mark.parametrize("columns", [40, 60, 80, 160])
def test_no_row_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    bars = progress._rich_progress(colored=False, clock=Clock())
    bars.add_task("a_name_that_is_rather_long", total=8_000_000_000, completed=1_200_000_000)
    console = Console(width=columns, force_terminal=True)
    with console.capture() as captured:
        console.print(bars.get_renderable())
    (line,) = re.sub(r"\x1b\[[0-9;]*m", "", captured.get()).splitlines()
    assert len(line) <= columns
    assert "1.2/8.0 GB" in line


@pytest.mark.parametrize("total", [None, 5, 2000 * MB])
@pytest.mark.parametrize("parts", [[("", None)], [("a", 5), ("b", 7)]], ids=["one", "several"])
@pytest.mark.parametrize("title", ["push x", "pull pca@sha256:abc", "push 3 ops"])
def test_lines_that_only_a_slow_machine_sees_are_no_difference_for_other_tests(
    title: str, parts: list[tuple[str, int | None]], total: int | None, tmp_path: Path
) -> None:
    moves = [(second, 0, second, total) for second in range(11)]
    written = lines_of(parts, moves, title)
    assert written
    assert (
        Machine(tmp_path).tidy("".join(f"{line}\n" for line in written) + "error: it failed\n") == "error: it failed\n"
    )
