"""The documents name every command, option and setting, and what they show runs."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT, clean_environment

COMMAND_PAGE = ROOT / "docs" / "command-line.md"
SETTINGS_PAGE = ROOT / "docs" / "settings.md"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKING_PAGES = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]

FENCED = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^(?P=indent)```", re.M | re.S
)
NOT_RUN = re.compile(r"<!-- not run: \S[^>]*-->\s*\Z")
LINK = re.compile(r"\]\(<?([^)\s>]+)>?[^)]*\)|(?:src|srcset|href)=\"([^\"]+)\"")

#: Stands before every example: nothing in it reaches further than this machine, whatever
#: addresses it shows, and it learns so at once.
STAY_HOME = """
import sys
def stay_home(event, args):
    address = args[1] if event == "socket.connect" else args[:1]
    if event in ("socket.connect", "socket.getaddrinfo") and isinstance(address, tuple):
        if address[0] not in ("127.0.0.1", "::1", "localhost", None):
            raise OSError("an example in the documents does not leave this machine")
sys.addaudithook(stay_home)
import example
"""


class Example(NamedTuple):
    """A block of Python in a document."""

    page: Path
    line: int
    code: str
    is_run: bool

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def examples() -> Iterator[Example]:
    for page in PAGES:
        text = page.read_text() if page.exists() else ""
        for block in FENCED.finditer(text):
            if block["language"] in {"python", "py"}:
                before = text[: block.start()]
                yield Example(
                    page=page,
                    line=before.count("\n") + 2,
                    code=textwrap.dedent(block["code"]),
                    is_run=not NOT_RUN.search(before),
                )


def commands(command: Any, path: str = "trackway") -> Iterator[tuple[str, Any]]:
    """Each command below a click group with the words that call it, the group among them."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def options(command: Any) -> set[str]:
    """The long forms of a command's options, as they are typed."""
    return {
        form
        for parameter in command.params
        for form in (*parameter.opts, *parameter.secondary_opts)
        if form.startswith("--")
    }


def every_command() -> dict[str, Any]:
    from trackway.cli.commands import cli

    return dict(commands(cli))


def every_setting() -> set[str]:
    from trackway.settings import Settings

    return {f"TRACKWAY_{name.upper()}" for name in Settings.__annotations__}


# Commands and settings ------------------------------------------------------------------------


def test_every_command_is_in_the_documents() -> None:
    page = COMMAND_PAGE.read_text()
    missing = [name for name in every_command() if not re.search(rf"{name}\b", page)]
    assert not missing


def test_every_option_is_in_the_documents() -> None:
    page = COMMAND_PAGE.read_text()
    missing = [
        f"{name} {option}"
        for name, command in every_command().items()
        for option in sorted(options(command))
        if not re.search(rf"(?<![\w-]){option}(?![\w-])", page)
    ]
    assert not missing


def test_the_documents_show_no_option_that_does_not_exist() -> None:
    real = set().union(*(options(command) for command in every_command().values())) | {"--help"}
    shown = set(re.findall(r"`(--[a-z][a-z-]*)", COMMAND_PAGE.read_text()))
    for page in PAGES:
        for call in re.findall(r"^ *(?:\$ )?trackway [^\n]*", page.read_text(), re.M):
            shown |= set(re.findall(r"(?<!\S)--[a-z][a-z-]*", call))
    assert not shown - real


def test_every_setting_is_in_the_documents() -> None:
    page = SETTINGS_PAGE.read_text()
    missing = [name for name in sorted(every_setting()) if not re.search(rf"\b{name}\b", page)]
    assert not missing


def test_the_documents_show_no_setting_that_does_not_exist() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    shown = set(re.findall(r"\bTRACKWAY_[A-Z_]*[A-Z]", SETTINGS_PAGE.read_text()))
    assert not {name for name in shown - every_setting() if name not in source}


# Examples -------------------------------------------------------------------------------------


def test_the_readme_has_an_example() -> None:
    assert any(example.page.name == "README.md" for example in examples())


@pytest.mark.parametrize("example", [pytest.param(one, id=one.where) for one in examples()])
def test_examples_in_the_documents_run(example: Example, tmp_path: Path, free_port: int) -> None:
    compile(example.code, example.where, "exec")
    if not example.is_run:
        return
    # Imported under a name of its own, so that what stands under `if __name__ == "__main__"`
    # (starting a server) is not run.
    (tmp_path / "example.py").write_text(example.code)
    done = subprocess.run(
        [sys.executable, "-c", STAY_HOME],
        cwd=tmp_path,
        env=clean_environment(TRACKWAY_ENDPOINT=f"http://127.0.0.1:{free_port}"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{example.where}\n{done.stderr}"


# Links ----------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = FENCED.sub("", page.read_text())
    headings = re.findall(r"^#+ +(.+?) *#*$", text, re.M)
    slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    numbers = [slugs[:i].count(slug) for i, slug in enumerate(slugs)]
    return {f"{slug}-{n}" if n else slug for slug, n in zip(slugs, numbers, strict=True)}


def broken_links(page: Path) -> Iterator[str]:
    text = re.sub(r"`[^`\n]+`", "", FENCED.sub("", page.read_text()))
    for match in LINK.finditer(text):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        # Outside the repository a link works only on the machine it was written on.
        inside = file.exists() and file.is_relative_to(ROOT)
        if not inside or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            yield target


@pytest.mark.parametrize("page", LINKING_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_documents_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []
