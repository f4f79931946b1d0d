"""The site has every page; the tool makes every picture, and a page shows it."""

import re

import yaml

from tests.support.markdown import DOCS, ROOT, read
from tools.mkdocs_hooks import on_page_markdown
from tools.pictures import COMMANDS, LARGE, PAGES

PICTURES = ROOT / "docs" / "pictures"


class Loader(yaml.SafeLoader):
    """A YAML loader for mkdocs.yml, which names a function by a tag."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, _suffix, node: loader.construct_mapping(node))


def test_every_page_is_on_the_site() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)  # noqa: S506 - a SafeLoader
    placed = [page for section in settings["nav"] for pages in section.values() for page in pages]
    assert sorted(placed) == [path.name for path in DOCS]


def test_the_tool_makes_every_picture_and_a_page_shows_it() -> None:
    made = {*(f"{name}.png" for name in (*PAGES, *LARGE)), *(f"{name}.svg" for name in COMMANDS)}
    assert {path.name for path in PICTURES.iterdir()} == made
    shown = {found for path in DOCS for found in re.findall(r"!\[[^\]]+\]\(pictures/([^)]+)\)", read(path))}
    assert shown == made


def test_no_picture_loads_anything() -> None:
    for path in PICTURES.glob("*.svg"):
        text = path.read_text("utf-8")
        assert not re.search(r"url\((?!#)|href|@import|<script", text), path.name


def test_a_link_to_a_file_outside_the_site_becomes_its_path() -> None:
    told = on_page_markdown("see [the README](../README.md#try-it) and [this](page.md)")
    assert told == "see [the README](index.md) (`README.md` in the repository) and [this](page.md)"
