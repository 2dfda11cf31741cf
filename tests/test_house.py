"""The rules of the house that a machine can hold: floors, the face, a light core, names."""

from __future__ import annotations

import ast
import graphlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PathDistribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, clean_environment

SOURCE = ROOT / "src"
PACKAGE = SOURCE / "trackway"

#: From the ground up; a room is a module or a folder directly below ``trackway``.
FLOORS: tuple[tuple[str, frozenset[str]], ...] = (
    (
        "values",
        frozenset(
            {
                "_version",
                "contracts",
                "errors",
                "event",
                "forks",
                "ids",
                "logs",
                "periods",
                "settings",
            }
        ),
    ),
    (
        "contracts and pure functions",
        frozenset({"cookies", "enrich", "scope", "sinks", "subject", "wires"}),
    ),
    ("movers", frozenset({"delivery", "pipeline"})),
    ("stores and ways out", frozenset({"emitters", "marks", "storages", "warehouse"})),
    (
        "products",
        frozenset(
            {"access", "arguments", "pages", "reports", "testing", "tracker", "usage", "verbs"}
        ),
    ),
    ("faces", frozenset({"collector", "dashboard", "integrations"})),
    ("command line and compatibility", frozenset({"cli", "compat"})),
    ("the door of `python -m trackway`", frozenset({"__main__"})),
)
FLOOR_OF = {room: number for number, (_, rooms) in enumerate(FLOORS, 1) for room in rooms}

#: Dependencies that no line of ours imports, and who does.
LOADED_BY_NAME = {"httptools": "uvicorn", "uvloop": "uvicorn"}
#: Packages that have loaded the only file of ours that imports them.
BROUGHT_ALONG = {"pytest": "its plugin is loaded by pytest itself"}


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_bytes(), filename=str(path))


def imports(name: str) -> Iterator[tuple[str, int]]:
    """Each module that the module ``name`` imports, with the line.

    Imports inside functions and under ``if TYPE_CHECKING`` count as well. ``from a import b`` is
    an import of ``a.b`` where that is one of our modules, else of ``a``.
    """
    path = MODULES[name]
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield (inner if inner in MODULES else origin), node.lineno


def room_of(name: str) -> str:
    return name.split(".")[1]


def is_folder(room: str) -> bool:
    return (PACKAGE / room).is_dir()


def allowed(importing: str, imported: str) -> bool:
    """Whether one room may import from another."""
    here, there = FLOOR_OF[importing], FLOOR_OF[imported]
    both_are_files = not is_folder(importing) and not is_folder(imported)
    return importing == imported or there < here or (there == here and both_are_files)


# Floors ---------------------------------------------------------------------------------------


def test_every_room_stands_on_a_floor() -> None:
    rooms = {room_of(name) for name in MODULES if name != "trackway"}
    unknown = sorted(rooms - set(FLOOR_OF))
    assert not unknown, f"add these rooms to FLOORS above and to docs/architecture.md: {unknown}"


def test_a_room_imports_only_from_lower_floors() -> None:
    breaches = {
        f"{name}:{line}: {room_of(name)} (floor {FLOOR_OF[room_of(name)]}) must not import"
        f" {target} (floor {FLOOR_OF[room_of(target)]})"
        for name in MODULES
        if name != "trackway"
        for target, line in imports(name)
        if target.startswith("trackway.") and not allowed(room_of(name), room_of(target))
    }
    assert not breaches, "\n".join(sorted(breaches))


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: {t for t, _ in imports(name) if t in MODULES and t != name} for name in MODULES}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(" <- ".join(error.args[1]), pytrace=False)


# The face -------------------------------------------------------------------------------------


def test_the_face_only_passes_on_and_says_what() -> None:
    docstring, *body = tree_of(PACKAGE / "__init__.py").body
    assert isinstance(docstring, ast.Expr)
    passed_on: list[str] = []
    declared: list[str] | None = None
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        if isinstance(node, ast.ImportFrom):
            passed_on += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            declared = ast.literal_eval(node.value)
        else:
            pytest.fail(f"line {node.lineno} of the face does something: {ast.unparse(node)[:80]}")
    assert sorted(passed_on) == declared


def test_nothing_inside_imports_the_face() -> None:
    breaches = [
        f"{name}:{line}" for name in MODULES for to, line in imports(name) if to == "trackway"
    ]
    assert not breaches, f"import from the module that defines it: {breaches}"


# Names ----------------------------------------------------------------------------------------


def python_files() -> list[Path]:
    return sorted(f for d in ("src", "tests", "benchmarks") for f in (ROOT / d).rglob("*.py"))


def test_every_file_says_on_its_first_line_what_it_is_for() -> None:
    wrong = []
    for path in python_files():
        first = path.read_text().partition("\n")[0]
        sentence = first.removeprefix('"""').removesuffix('"""')
        if not re.fullmatch(r'r?"""[A-Z`].*\.(""")?', first) or re.search(r"[.!?] [A-Z]", sentence):
            wrong.append(f"{path.relative_to(ROOT)}: {first!r}")
    assert not wrong, "the first line is a docstring of one sentence:\n" + "\n".join(wrong)


def test_files_are_named_by_nouns_of_the_field() -> None:
    empty_words = {"base", "common", "helper", "helpers", "manager", "managers", "util", "utils"}
    wrong = [name for name in MODULES if empty_words & set(re.split(r"[._]", name))]
    assert not wrong


# What is installed ----------------------------------------------------------------------------


def normal(name: str) -> str:
    """A distribution's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return normal(found[0])


def test_every_package_that_we_import_is_declared_and_the_other_way_round() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {requirement_name(r) for r in project["dependencies"]}
    declared |= {requirement_name(r) for name in extras if name != "dev" for r in extras[name]}
    brought_by = importlib.metadata.packages_distributions()
    imported: dict[str, str] = {}
    for name in MODULES:
        for target, line in imports(name):
            top = target.partition(".")[0]
            if top not in sys.stdlib_module_names and top != "trackway":
                for distribution in brought_by.get(top, [top]):
                    imported[normal(distribution)] = f"{name}:{line}"
    undeclared = {name: where for name, where in imported.items() if name not in declared}
    undeclared = {name: undeclared[name] for name in undeclared.keys() - BROUGHT_ALONG.keys()}
    unused = declared - set(imported) - set(LOADED_BY_NAME) - {"trackway"}
    assert (undeclared, sorted(unused)) == ({}, [])


def test_the_environment_has_none_of_the_packages_that_compat_replaces() -> None:
    for name in ("snowplow_tracker", "flask_track_usage", "bitmapist", "pyramid_analytics"):
        assert find_spec(name) is None, f"{name} belongs into .venv-peers"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("trackway/")}
    sources = {p.relative_to(SOURCE).as_posix() for p in PACKAGE.rglob("*") if p.is_file()}
    assert packed == {name for name in sources if "__pycache__" not in name}
    assert "trackway/py.typed" in packed
    assert any(re.match(r"trackway/(dashboard|pages)/.*\.html$", name) for name in packed)
    assert any(re.match(r"trackway/(dashboard|pages)/.*\.js$", name) for name in packed)


# A light core ---------------------------------------------------------------------------------


def needed(distribution: Distribution) -> Iterator[Distribution]:
    """What a distribution needs without any extra, and what that needs in turn."""
    for requirement in distribution.requires or []:
        if "extra ==" not in requirement:
            one = importlib.metadata.distribution(requirement_name(requirement))
            yield one
            yield from needed(one)


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the wheel and its dependencies, and nothing else.

    The dependencies are copied from this environment, so that the test needs no network.
    """
    home = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (site_packages,) = home.glob("lib/python*/site-packages")
    (info,) = site_packages.glob("trackway-*.dist-info")
    for distribution in needed(PathDistribution(info)):
        for file in distribution.files or []:
            if ".." not in file.parts:
                target = site_packages / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(Path(str(distribution.locate_file(file))), target)
    return python


#: Imports the core and says what that did; what the report itself needs is loaded afterwards.
PROBE = """
import sys
before = set(sys.modules)
acts = []
def watch(event, args):
    if event == "open" and not str(args[0]).endswith((".py", ".pyc")):
        acts.append(f"opened {args[0]}")
    elif event.startswith(("socket.", "subprocess.", "os.fork", "_thread.start", "signal.")):
        acts.append(event)
sys.addaudithook(watch)
import _thread  # tells the hook only since Python 3.13
real_start = _thread.start_new_thread
def start_new_thread(*args):
    acts.append("started a thread")
    return real_start(*args)
_thread.start_new_thread = start_new_thread
import trackway
loaded = sorted(set(sys.modules) - before)
acts = list(acts)
import json, logging
root = logging.getLogger()
loggers = logging.Logger.manager.loggerDict
touched = [str(handler) for handler in root.handlers]
touched += [name for name, logger in loggers.items() if name.partition(".")[0] == "trackway"
    and isinstance(logger, logging.Logger) and (logger.level or not logger.propagate
    or [h for h in logger.handlers if not isinstance(h, logging.NullHandler)])]
touched += [f"level {root.level}"] if root.level != logging.WARNING else []
touched += ["disabled"] if logging.Logger.manager.disable else []
print(json.dumps({"loaded": loaded, "acts": acts, "touched": touched}))
"""


@pytest.fixture(scope="module")
def core_import(bare_python: Path) -> dict[str, Any]:
    """What ``import trackway`` does in a fresh process (its time: ``make bench ONLY=tracker``)."""
    done = subprocess.run(
        [str(bare_python), "-I", "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_importing_the_core_loads_no_package_but_msgspec(
    core_import: dict[str, Any],
) -> None:
    tops = {name.partition(".")[0] for name in core_import["loaded"]}
    assert tops - sys.stdlib_module_names <= {"trackway", "msgspec", "typing_extensions"}


def test_importing_the_core_loads_nothing_heavy_of_the_standard_library(
    core_import: dict[str, Any],
) -> None:
    # Each costs 5 to 30 ms, and the worker that needs it is started by the first event.
    heavy = {"asyncio", "concurrent", "ctypes", "email", "http", "logging", "multiprocessing"}
    heavy |= {
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "tempfile",
        "unittest",
        "urllib.request",
        "xml",
    }
    assert sorted(heavy & set(core_import["loaded"])) == []


def test_importing_the_core_starts_opens_and_configures_nothing(
    core_import: dict[str, Any],
) -> None:
    assert core_import["acts"] == []
    assert core_import["touched"] == []
