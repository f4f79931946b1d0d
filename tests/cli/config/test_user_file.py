"""Changes of the user's own settings file: one line, and nothing else."""

from pathlib import Path

import pytest

from opstore_cli.config import user_file
from opstore_cli.config.settings import load_settings
from opstore_daemon.protocol import errors
from tests.support.user import User

URL = "https://models.example.com"


@pytest.fixture
def path(user: User) -> Path:
    path = user_file.user_file()
    assert path.is_relative_to(user.folder)
    return path


def test_a_setting_is_added_changed_and_removed(user: User, path: Path) -> None:
    assert user_file.change("url", URL)
    assert not user_file.change("url", URL)
    assert load_settings(None, {}, user.cwd).url == URL
    assert user_file.change("allow_pickle", True)
    assert path.read_text() == f'url = "{URL}"\nallow_pickle = true\n'
    assert user_file.change("url", None)
    assert not user_file.change("url", None)
    assert path.read_text() == "allow_pickle = true\n"
    assert user_file.change("cache_size", user_file.parse_value("cache_size", " 5 GB"))
    assert load_settings(None, {}, user.cwd).cache_size == 5 * 10**9


@pytest.mark.parametrize("author", ["Ana <ana@example.org>", 'Zoë "Z" \\ 100%', "#"])
def test_an_author_is_read_as_it_was_set(user: User, path: Path, author: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("allow_pickle = false\nauthor = 'before' # me\n")
    assert user_file.change("author", user_file.parse_value("author", author))
    assert load_settings(None, {}, user.cwd).author == author
    assert not user_file.change("author", author)
    assert user_file.change("author", None)
    assert path.read_text() == "allow_pickle = false\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("# mine\nurl = 'http://old' # why\nallow_pickle = false\n", f'# mine\nurl = "{URL}"\nallow_pickle = false\n'),
        ("allow_pickle = false", f'allow_pickle = false\nurl = "{URL}"\n'),
        ("\ufeff# mine\r\nallow_pickle = false\r\n", f'# mine\r\nallow_pickle = false\r\nurl = "{URL}"\r\n'),
        ('"url"="http://old"', f'url = "{URL}"\n'),
        ("# url = 'http://comment'\n", f"# url = 'http://comment'\nurl = \"{URL}\"\n"),
        ("", f'url = "{URL}"\n'),
    ],
)
def test_all_other_lines_are_kept(path: Path, before: str, after: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(before.encode())
    assert user_file.change("url", URL)
    assert path.read_bytes() == after.encode()


@pytest.mark.parametrize(
    "text", ["u\\u0072l", '"u\\u0072l" = "http://old"', 'url = """\nhttp://old"""', "author = 1", "other = 1", "url ="]
)
def test_a_file_that_can_not_be_changed_safely_stays_as_it_is(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(errors.InvalidSetting) as refused:
        user_file.change("url", URL)
    assert str(path) in refused.value.text
    assert path.read_text() == text


@pytest.mark.parametrize("value", [URL, None])
@pytest.mark.parametrize("before", ["url = 1\n", "url = 'ftp://x'\n"])
def test_an_invalid_value_can_be_replaced_and_removed(path: Path, before: str, value: str | None) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(before)
    assert user_file.change("url", value)
    assert path.read_text() == ("" if value is None else f'url = "{URL}"\n')


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_changed(path: Path, tmp_path: Path, exists: bool) -> None:
    target = tmp_path / "dotfiles.toml"
    if exists:
        target.write_text("# mine\n")
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    assert user_file.change("url", URL)
    assert path.is_symlink()
    assert target.read_text() == ("# mine\n" if exists else "") + f'url = "{URL}"\n'


@pytest.mark.parametrize(
    ("key", "text"), [("url", "ftp://x"), ("url", "http://user:secret@x"), ("allow_pickle", "1"), ("author", "a\tb")]
)
def test_an_invalid_value_is_refused(user: User, key: str, text: str) -> None:
    with pytest.raises(errors.InvalidSetting) as refused:
        user_file.parse_value(key, text)
    assert "secret" not in refused.value.text
