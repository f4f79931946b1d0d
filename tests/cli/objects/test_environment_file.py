"""Requirements files and the locks of package managers say which versions a deployment will install."""

import os
from pathlib import Path

import pytest

from opstore_cli.objects import environment_file, requirement_file
from opstore_cli.objects.environment import Environment, compare
from opstore_daemon.protocol import errors


def environment(folder: Path, text: str | bytes, name: str = "requirements.txt") -> Environment:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return environment_file.read(path)


def versions(found: Environment, name: str) -> list[str]:
    """Return the texts of the versions that the package may have."""
    return [each if isinstance(each, str) else f"range {each}" for each in found.lookup(name)]


def test_a_requirements_file_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "base.txt").write_text("-r ../requirements.txt\nscipy==1.13.0\n-c limits.txt\n")
    (tmp_path / "more" / "limits.txt").write_text("# limits\nthreadpoolctl==3.5.0\nranged<2\n")
    text = """\
# a comment
--index-url https://example.com/simple
-i https://example.com/simple
--extra-index-url=https://example.com/simple
--pre
--no-binary :all:
-e .
-e git+https://example.com/project.git@abc#egg=Their_Project
-e ./folder
Scikit_Learn[alldeps] == 1.4.2  # pinned
num.py~=1.26.0
skops \\
   ==0.13.0 \\
   # the end of the line that is continued
joblib
ranged>=1
xgboost===2.1.3 --config-settings "a=b"
lightgbm @ https://example.com/lightgbm-4.5.0-py3-none-any.whl
onnx @ git+https://example.com/onnx.git@v1
https://example.com/cloudpickle-3.1.0.tar.gz
https://example.com/whatever.zip
./local/pandas-2.2.0-cp312-cp312-linux_x86_64.whl
local-1.0.tar.gz
torch==2.1.0+cpu
wild==1.*
--requirement more/base.txt
"""
    found = environment(tmp_path, "\ufeff" + text.replace("\n", "\r\n"))
    expected = {
        "scikit-learn": ["1.4.2"], "num-py": ["range ~=1.26.0"], "skops": ["0.13.0"], "joblib": ["range "],
        "xgboost": ["2.1.3"], "lightgbm": ["4.5.0"], "onnx": ["range "], "cloudpickle": ["3.1.0"],
        "pandas": ["2.2.0"], "local": ["1.0"], "torch": ["2.1.0+cpu"], "wild": ["range ==1.*"], "scipy": ["1.13.0"],
        "their-project": ["range "], "threadpoolctl": ["3.5.0"], "ranged": ["range <2,>=1"], "whatever": [],
        "python": ["range "], "pca": [],
    }  # fmt: skip
    assert {name: versions(found, name) for name in expected} == expected
    assert not found.is_complete
    assert found.label == str(tmp_path / "requirements.txt")


def test_markers_give_several_versions(tmp_path: Path) -> None:
    text = """\
numpy==1.26.4; python_version < "3.12"
numpy==2.1.0 ; python_version >= "3.12"
numpy<3
scipy==1.13.0; sys_platform == "linux"
./pandas-2.2.0-py3-none-any.whl ; sys_platform == "linux"
"""
    found = environment(tmp_path, text)
    assert versions(found, "numpy") == ["1.26.4", "2.1.0"]
    assert versions(found, "scipy") == ["1.13.0"]
    assert versions(found, "pandas") == ["2.2.0"]


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("a==1 --hash=sha256:00 --hash=sha256:01\n", True),
        ("a==1 \\\n    --hash=sha256:00\n", True),
        ("--require-hashes\n", True),
        ("a==1  # --hash=sha256:00\n", False),
        ("", False),
    ],
)
def test_a_file_with_hashes_names_every_package(tmp_path: Path, text: str, complete: bool) -> None:
    found = environment(tmp_path, text)
    assert found.is_complete is complete
    assert compare(found, "skops", {"python": "3.12.4"}) == (), "it names no Python, which is not missing"
    assert [each.severity for each in compare(found, "cloudpickle", {"python": "3.12.4"})] == ["unknown"]
    assert [each.severity for each in compare(found, "skops", {"skops": "0.13.0"})] == [
        "invalid" if complete else "unknown"
    ]


def test_contradictory_versions_are_a_range(tmp_path: Path) -> None:
    assert versions(environment(tmp_path, "a==1\na==2\n"), "a") == ["range ==1,==2"]


UV = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "scikit-learn"
version = "1.4.2"
source = { registry = "https://pypi.org/simple" }

[[package]]
name = "numpy"
version = "2.2.6"
resolution-markers = ["python_full_version < '3.11'"]

[[package]]
name = "numpy"
version = "2.3.1"

[[package]]
name = "mine"
source = { editable = "." }
"""
PYLOCK = """\
lock-version = "1.0"
requires-python = "==3.12.*"
created-by = "tool"

[[packages]]
name = "Scikit.Learn"
version = "1.4.2"
marker = "sys_platform == 'linux'"
"""
POETRY = '[[package]]\nname = "scikit-learn"\nversion = "1.4.2"\n\n[metadata]\nlock-version = "2.1"\n'


@pytest.mark.parametrize(
    ("text", "name", "python"),
    [
        (UV, "uv.lock", "range >=3.11"),
        (PYLOCK, "pylock.prod.toml", "range ==3.12.*"),
        (POETRY, "poetry.lock", "range "),
    ],
)
def test_locks_of_package_managers_name_every_package(tmp_path: Path, text: str, name: str, python: str) -> None:
    found = environment(tmp_path, text, name)
    assert versions(found, "scikit-learn") == ["1.4.2"]
    assert versions(found, "python") == [python]
    assert found.is_complete
    if name == "uv.lock":
        assert versions(found, "numpy") == ["2.2.6", "2.3.1"]
        assert versions(found, "mine") == ["range "]


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("name: env\ndependencies:\n", "environment.yml", "line 1: 'name: env' is not a requirement; supported are"),
        ('{"default": {}}', "Pipfile.lock", "line 1: "),
        ("a==1\n\n--frobnicate x\n", "requirements.txt", "line 3: '--frobnicate' is not an option of a requirements"),
        ("a==1\n-r https://example.com/r.txt\n", "requirements.txt", "line 2 includes 'https://example.com/r.txt': "),
        ("a==one==two", "requirements.txt", "line 1: 'a==one==two' is not a requirement"),
        ("a==1; python_version <<< 3", "requirements.txt", "line 1: "),
        (f"a=={'1' * 2000}", "requirements.txt", "line 1 has more than 1000 characters"),
        ("a\n" * 101, "requirements.txt", "it has more than 100 specifiers for a"),
        (b"\xff\xfea\x00", "requirements.txt", "it is UTF-16 or UTF-32 text; save it as UTF-8"),
        (b"a==1\n\xff", "requirements.txt", "it is not UTF-8"),
        (b"a" * (8 * 1024 * 1024 + 1), "requirements.txt", "it has more than 8192 KiB"),
        ("[project]\nname='x'\n", "pyproject.toml", "it has no list of packages; supported are requirements.txt"),
        ("[[package]]\nname = 5\n", "uv.lock", "its package 1 has no name"),
        ("[[package]\nname = 'a'\n", "uv.lock", "(at line 1, column "),
        ("", "poetry.lock", "it has no list of packages"),
        ("package = ['a']\nrequires-python = '3'", "uv.lock", "its package 1 has no name"),
        ("[[package]]\nname = 'a'\nversion = 1.5\n", "uv.lock", "its package 1 has no name, or a version that is not"),
        ("requires-python = 3\npackage = []", "uv.lock", "its requires-python is not a specifier"),
        ("requires-python = '^3'\npackage = []", "uv.lock", "its requires-python is not a specifier"),
        ("[[package]]\nname = 'a'\n<<<<<<< HEAD\n", "uv.lock", "(at line 3, column 1)"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_reason(
    tmp_path: Path, text: str | bytes, name: str, reason: str
) -> None:
    with pytest.raises(errors.FileRefused) as caught:
        environment(tmp_path, text, name)
    assert reason in caught.value.text
    assert caught.value.text.startswith(f"{tmp_path / name}: ")
    assert (caught.value.exit_code, len(caught.value.text) < 500) == (2, True)


def test_a_missing_file_a_folder_and_a_missing_included_file_are_refused_by_their_names(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.txt", "there is no such file"), (tmp_path, "it is a folder")):
        with pytest.raises(errors.FileRefused) as caught:
            environment_file.read(path)
        assert caught.value.text == f"{path}: {reason}"
    with pytest.raises(errors.FileRefused) as caught:
        environment(tmp_path, "a\n-r other.txt\n")
    assert caught.value.text == f"{tmp_path / 'other.txt'}: there is no such file"


def test_files_that_include_each_other_are_read_once_and_only_so_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment_file, "MAX_FILES", 3)
    for number in range(5):
        (tmp_path / f"{number}.txt").write_text(f"-r {number + 1}.txt\n-r {number}.txt\n")
    (tmp_path / "5.txt").write_text("a==1\n-r 3.txt\n")
    assert versions(environment_file.read(tmp_path / "3.txt"), "a") == ["1"]
    with pytest.raises(errors.FileRefused, match="it includes more than 3 files"):
        environment_file.read(tmp_path / "0.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    first, second = os.pipe()
    os.write(second, b"a==1\n")
    os.close(second)
    try:
        assert versions(environment_file.read(Path(f"/dev/fd/{first}")), "a") == ["1"]
    finally:
        os.close(first)


def test_the_lines_of_all_files_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirement_file, "MAX_REQUIREMENTS", 3)
    (tmp_path / "more.txt").write_text("b\nc\n")
    assert versions(environment(tmp_path, "a\n# b\n\n-r more.txt\n".replace("-r more.txt", "b\nc")), "c") == ["range "]
    with pytest.raises(errors.FileRefused, match="it has more than 3 lines, with the files that it includes"):
        environment(tmp_path, "a\n-r more.txt\n")


def test_what_is_compared_for_a_package_is_bounded(tmp_path: Path) -> None:
    specifiers = ",".join(f">={number}" for number in range(requirement_file.MAX_SPECIFIERS))
    with pytest.raises(errors.FileRefused, match="it has more than 100 specifiers for a"):
        environment(tmp_path, f"a{specifiers}\n")
