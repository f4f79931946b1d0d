"""`opstore config`: which daemon is used and why, and changes of the user's own file."""

import json
from pathlib import Path

import pytest

from tests.cli.console.program import in_process
from tests.support.user import User

URL = "https://models.example.com"


@pytest.fixture(autouse=True)
def at_home(user: User, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the user's own file."""
    monkeypatch.setenv("OPSTORE_HOME", str(user.home))
    monkeypatch.chdir(user.cwd)
    user.make_home()
    return user.folder / "config" / "opstore" / "config.toml"


def rows(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, tuple[str, str]]:
    code, out, err = in_process(capsys, "config", "show", *words)
    assert (code, err) == (0, "")
    table = [line.split("\t") for line in out.splitlines()]
    return {name: (value, source) for name, value, source in table}


def test_the_defaults_are_shown_with_their_sources(capsys: pytest.CaptureFixture[str], user: User) -> None:
    found = rows(capsys)
    assert found == {
        "url": ("-", "default"),
        "token": ("(not shown)", "token file"),
        "home": (str(user.home), "OPSTORE_HOME"),
        "author": (found["author"][0], "default"),
        "pipeline": ("-", "default"),
        "autostart": ("true", "default"),
        "allow_pickle": ("false", "default"),
        "cache": (found["cache"][0], "default"),
        "cache_size": ("20000000000", "default"),
        "daemon": (f"the local daemon of {user.home}", "no URL is set"),
    }


def test_each_source_of_the_url_is_named(
    capsys: pytest.CaptureFixture[str], user: User, at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert in_process(capsys, "config", "set", "url", URL)[0] == 0
    assert rows(capsys)["daemon"] == (URL, f"{at_home} names it")
    tree = user.cwd / "opstore.toml"
    tree.write_text(f'url = "{URL}/tree"\npipeline = "churn"\n')
    found = rows(capsys)
    assert found["url"] == (f"{URL}/tree", str(tree))
    assert found["pipeline"] == ("churn", str(tree))
    assert found["token"] == ("-", f"not logged in: the URL is not used until opstore login {URL}/tree")
    monkeypatch.setenv("OPSTORE_URL", f"{URL}/environment")
    assert rows(capsys)["daemon"] == (f"{URL}/environment", "OPSTORE_URL names it")
    assert rows(capsys, "--url", f"{URL}/option")["daemon"] == (f"{URL}/option", "--url names it")


def test_no_token_is_ever_shown(
    capsys: pytest.CaptureFixture[str], user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPSTORE_TOKEN", "secret-of-the-environment")
    for form in ([], ["--json"], ["-v"], ["-q"]):
        code, out, err = in_process(capsys, "config", "show", *form)
        assert code == 0
        assert "secret" not in out + err
        assert (user.home / "token").read_text() not in out + err
    assert rows(capsys)["token"] == ("(not shown)", "OPSTORE_TOKEN")


def test_a_change_says_which_daemon_is_used(
    capsys: pytest.CaptureFixture[str], user: User, at_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = f"commands use the local daemon of {user.home}, because no URL is set\n"
    said = f"set url in {at_home}\ncommands use {URL}, because {at_home} names it\n"
    assert in_process(capsys, "config", "set", "url", f"{URL}/") == (0, "", said)
    assert in_process(capsys, "config", "set", "url", URL)[2].startswith(f"{at_home} has that already\n")
    monkeypatch.setenv("OPSTORE_URL", "http://127.0.0.1:1")
    assert in_process(capsys, "config", "set", "url", URL)[2].endswith("because OPSTORE_URL names it\n")
    monkeypatch.delenv("OPSTORE_URL")
    code, out, _ = in_process(capsys, "config", "unset", "url", "--json")
    document = {"setting": "url", "value": None, "changed": True, "user_file": str(at_home)}
    assert (code, json.loads(out)) == (0, document)
    assert in_process(capsys, "config", "unset", "url") == (0, "", f"{at_home} does not set url\n{local}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("set pipeline churn", 'it is a setting of the working tree: write pipeline = "NAME" in its opstore.toml'),
        ("set token x", "a token is stored by opstore login URL"),
        ("set OPSTORE_HOME x", "the settings are url, author, allow_pickle, cache_size"),
        ("unset nope", "the settings are url, author, allow_pickle, cache_size"),
        ("set url ftp://x", "error: url: a URL begins with http:// or https:// and names a host"),
        ("set allow_pickle maybe", "error: allow_pickle: it must be true or false"),
        ("set cache_size huge", "error: cache_size: 'huge' is not a size such as 20GB, 500MB, 4GiB or 0"),
        ("set url", "give VALUE"),
    ],
)
def test_anything_else_is_refused_with_the_place_to_set_it(
    capsys: pytest.CaptureFixture[str], at_home: Path, words: str, said: str
) -> None:
    code, out, err = in_process(capsys, "config", *words.split())
    assert (code, out, said in err) == (2, "", True)
    assert not at_home.exists()


def test_the_path_of_the_users_own_file_is_the_identifier(capsys: pytest.CaptureFixture[str], at_home: Path) -> None:
    assert in_process(capsys, "config", "show", "-q") == (0, f"{at_home}\n", "")
