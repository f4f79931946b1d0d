"""The site and its pictures: every page stands in the site, every picture is made by the tool and shown somewhere."""

import re

import yaml

from tests.support.markdown import DOCS, ROOT, read
from tools.mkdocs_hooks import on_page_markdown
from tools.pictures import COMMANDS, LARGE, PAGES

PICTURES = ROOT / "docs" / "pictures"


class Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, in which a function is named by a tag."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, _suffix, node: loader.construct_mapping(node))


def test_every_page_stands_in_the_site() -> None:
    settings = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)  # noqa: S506 - a SafeLoader
    placed = [page for section in settings["nav"] for pages in section.values() for page in pages]
    assert sorted(placed) == [path.name for path in DOCS]


def test_every_picture_is_made_by_the_tool_and_shown() -> None:
    made = {*(f"{name}.png" for name in (*PAGES, *LARGE)), *(f"{name}.svg" for name in COMMANDS)}
    assert {path.name for path in PICTURES.iterdir()} == made
    shown = {found for path in DOCS for found in re.findall(r"!\[[^\]]+\]\(pictures/([^)]+)\)", read(path))}
    assert shown == made


def test_no_picture_loads_anything() -> None:
    for path in PICTURES.glob("*.svg"):
        text = path.read_text("utf-8")
        assert not re.search(r"url\((?!#)|href|@import|<script", text), path.name


def test_a_link_out_of_the_site_names_the_path_in_the_repository() -> None:
    told = on_page_markdown("see [the README](../README.md#try-it) and [this](page.md)")
    assert told == "see [the README](index.md) (`README.md` in the repository) and [this](page.md)"
