"""What a client shows of its transfers: something to a person in a notebook or at a prompt, and nothing to a script."""

import io
import multiprocessing
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from opstore_cli.client import progress
from opstore_cli.client.progress import ProgressOption, show_progress
from opstore_cli.output import progress as output
from opstore_cli.output.notebook import NotebookProgress
from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import errors
from tests.support.clock import START, Clock
from tests.support.in_process import InProcessClient

MB = 1_000_000


class Cell:
    """Stands in for `IPython.display` and the output of a cell, which a front end shows."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []  # each with its updates

    def display(self, output: dict[str, str], *, raw: bool, display_id: bool) -> SimpleNamespace:
        assert raw
        assert display_id
        states = [output]
        self.outputs.append(states)
        return SimpleNamespace(update=lambda changed, raw: states.append(changed))

    @property
    def texts(self) -> list[str]:
        """The text of each output, as it is now."""
        return [states[-1]["text/plain"] for states in self.outputs]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show each transfer at its first report, at no terminal, outside of a notebook."""
    monkeypatch.setattr(output, "SHOW_AFTER", 0)
    monkeypatch.setattr(output, "LOG_INTERVAL", 0)
    on_terminal(monkeypatch, False)
    monkeypatch.delattr(sys, "ps1", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_screens", {})


def on_terminal(monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    for module in (progress, output):
        monkeypatch.setattr(module, "is_terminal", lambda _stderr: yes)


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be at the prompt of a Python on a terminal."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    on_terminal(monkeypatch, True)


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Cell:
    """Be the kernel of a notebook; return the output of its cell."""
    found = Cell()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display = found.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return found


@pytest.fixture
def client(memory_server: OpStoreServer) -> InProcessClient:
    """A client of an empty store."""
    return InProcessClient(memory_server)


@pytest.fixture
def rows() -> Callable[[], list[str]]:
    """Return a function that renders the bars which are drawn now, without the bar itself."""

    def render() -> list[str]:
        (screen,) = progress._screens.values()
        if screen._bars is None:
            return []
        console = Console(width=120, force_terminal=True, color_system=None, file=io.StringIO())
        with console.capture() as captured:
            console.print(screen._bars.get_renderable())
        return [" ".join(re.sub("[━╸╺]+", "", line).split()) for line in captured.get().splitlines()]

    return render


def kind_of_display(option: ProgressOption = None) -> str:
    with show_progress(option, "push pca") as display:
        return type(display).__name__


def test_a_script_shows_nothing_unless_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kind_of_display() == "NullDisplay"
    assert kind_of_display(True) == "LogProgress"
    on_terminal(monkeypatch, True)
    assert kind_of_display() == "NullDisplay"
    assert kind_of_display(True) == "BarProgress"
    monkeypatch.setenv("TERM", "dumb")
    assert kind_of_display(True) == "LogProgress"


def test_a_person_at_a_prompt_sees_bars_unless_they_are_switched_off(
    prompt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kind_of_display() == "BarProgress"
    assert kind_of_display(False) == "NullDisplay"
    on_terminal(monkeypatch, False)  # python -i 2>log
    assert kind_of_display() == "NullDisplay"


def test_a_worker_process_shows_nothing_at_the_prompt_of_its_parent(
    prompt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert kind_of_display() == "NullDisplay"
    assert kind_of_display(True) == "BarProgress"


def test_ipython_on_a_terminal_is_no_notebook(prompt: None, monkeypatch: pytest.MonkeyPatch) -> None:
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert kind_of_display() == "BarProgress"


def test_a_script_that_asks_gets_lines_on_stderr(client: InProcessClient, capsys: pytest.CaptureFixture[str]) -> None:
    client.progress = True
    client.push("pca", b"bytes")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("push pca: 0 of 5 B (0 %)\n")


def test_bars_of_transfers_at_the_same_time_share_the_terminal(prompt: None, rows: Callable[[], list[str]]) -> None:
    with show_progress(None, "push a") as one, show_progress(None, "pull 2 ops", [("b", MB), ("c", MB)]) as two:
        one.moved(0, MB, 2 * MB)
        two.moved(1, MB // 2, MB)
        assert [row.partition(" ?")[0] for row in rows()] == ["push a", "pull 2 ops, 0 done", "c"]
        two.ended(1)
        two.moved(0, 0, MB)
        assert [row.partition(" ?")[0] for row in rows()] == ["push a", "pull 2 ops, 1 done", "b"]
    assert rows() == []


def test_a_transfer_that_outlives_an_interrupt_draws_no_more(
    prompt: None, cell: Cell, rows: Callable[[], list[str]]
) -> None:
    with show_progress(None, "push a") as display:
        display.moved(0, 1, MB)
    display.moved(0, 2, MB)
    assert len(cell.outputs) == 1
    sys.modules.pop("IPython")
    with show_progress(None, "push a") as display:
        display.moved(0, 1, MB)
    display.moved(0, 2, MB)
    assert rows() == []


def started(client: InProcessClient) -> None:
    with client.start_pull("pca") as pull:
        pull.to_bytes()


TRANSFERS: dict[str, Callable[[InProcessClient, Path], object]] = {
    "push": lambda client, folder: client.push("forest", b"trees"),
    "save": lambda client, folder: client.save("forest", [1, 2]),
    "pull": lambda client, folder: client.pull("pca"),
    "pull to a path": lambda client, folder: client.pull("pca", folder / "pulled"),
    "start_pull": lambda client, folder: started(client),
    "path": lambda client, folder: client.path("pca"),
    "load": lambda client, folder: client.load("model"),
    "diff": lambda client, folder: client.diff("pca@1.0.0", "pca@1.0.1"),
}


@pytest.mark.parametrize("verb", TRANSFERS)
def test_every_verb_that_transfers_shows_it_in_a_notebook(
    verb: str, client: InProcessClient, cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSTORE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "folder").mkdir()
    client.progress = False
    for content in ("one", "two"):
        (tmp_path / "folder" / "file").write_text(content)
        client.push("pca", tmp_path / "folder")
    client.save("model", [1, 2])
    assert cell.outputs == []
    client.progress = None
    TRANSFERS[verb](client, tmp_path)
    assert cell.outputs
    assert all(re.match(r"(push|pull) (pca|forest|model)(@[\d.]+)?: [\d.]+ k?B in 1 s, ", text) for text in cell.texts)
    if verb in ("path", "load"):  # a second time transfers nothing, so it shows nothing
        cell.outputs.clear()
        TRANSFERS[verb](client, tmp_path)
        assert cell.outputs == []


def test_a_notebook_shows_several_transfers_in_one_output(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    display = NotebookProgress("pull 2 ops", [("b<i>", 3 * MB), ("c", None)], clock)
    display.moved(0, MB, 3 * MB)
    assert cell.outputs[0][-1] == {
        "text/plain": "pull 2 ops, 0 done: 1.0 MB\nb<i>: 1.0 of 3.0 MB (33 %)",
        "text/html": "<div>pull 2 ops, 0 done: 1.0 MB</div>"
        '<div><progress max="1" value="0.333"></progress> b&lt;i&gt;: 1.0 of 3.0 MB (33 %)</div>',
    }
    display.moved(0, 2 * MB, 3 * MB)
    assert len(cell.outputs[0]) == 1, "each update is a message to the browser"
    clock.now = START + 2
    display.moved(0, 3 * MB, 3 * MB)
    display.ended(0)
    display.moved(1, 0, MB)
    clock.now = START + 4
    display.moved(1, MB, MB)
    assert cell.texts == ["pull 2 ops, 1 done: 4.0 of 4.0 MB (100 %), finishing\nc: 1.0 of 1.0 MB (100 %), finishing"]
    display.stop()
    assert cell.texts == ["pull 2 ops: 3.0 MB in 4 s, 750 kB/s"], "the first MB was there already"


def test_a_notebook_shows_nothing_for_a_short_transfer(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "SHOW_AFTER", 0.5)
    clock = Clock()
    display = NotebookProgress("push a", [("", None)], clock)
    for after in (0.0, 0.4):
        clock.now = START + after
        display.moved(0, 1, MB)
    clock.now = START + 9  # it waited for the daemon to start
    display.moved(0, MB, MB)
    display.stop()
    assert cell.outputs == []


def test_a_transfer_that_failed_says_how_far_it_came(cell: Cell) -> None:
    with show_progress(None, "push a") as display:
        display.moved(0, MB, 4 * MB)
    (text,) = cell.texts
    assert text.startswith("push a: stopped at 1.0 of 4.0 MB (25 %) ")


def test_a_transfer_does_not_fail_because_its_progress_cannot_be_shown(
    client: InProcessClient, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["IPython.display"], "display", lambda *_, **__: 1 / 0)
    assert client.push("pca", b"one").created
    monkeypatch.setitem(sys.modules, "IPython", None)
    client.progress = True
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    assert client.push("pca", b"two").created


def test_a_pipeline_is_pulled_with_one_output(client: InProcessClient, cell: Cell, tmp_path: Path) -> None:
    client.push("forest", b"trees")
    client.push("pca", b"one", valid_for="forest@1.0.0")
    client.register_pipeline("iris", ["pca", "forest"])
    cell.outputs.clear()
    client.pull_lock(client.resolve("iris").lock(), tmp_path)
    assert [text.partition(" in ")[0] for text in cell.texts] == ["pull 2 ops: 8 B"]


def test_a_function_is_called_with_the_sum_of_all_parts() -> None:
    calls: list[tuple[int, int | None]] = []
    with show_progress(lambda *moved: calls.append(moved), "pull 2 ops", [("a", 3), ("b", 4)]) as display:
        display.moved(0, 2, 3)
        display.moved(1, 4, 4)
    with show_progress(lambda *moved: calls.append(moved), "push a") as display:
        display.moved(0, 1, None)
    assert calls == [(2, 7), (6, 7), (1, None)]


def test_anything_else_is_refused_when_it_is_set(client: InProcessClient) -> None:
    wrong: Any
    for wrong in ("yes", 1, []):
        with pytest.raises(errors.InvalidArgument, match="progress must be True, False, None or a function"):
            client.progress = wrong
    client.progress = False
    assert client.progress is False
