"""The house rules that no linter knows: sizes, layers of the ground floor, licences, addresses, what the documents promise."""

from __future__ import annotations

import ast
import functools
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import errors

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("storage", "inference", "finetune", "ui")
LONGEST = 600

# Security floors: the oldest version of each without a known hole that matters here.
FLOORS = {"gradio": "6.16", "transformers": "5.3.0", "torch": "2.6", "pydicom": "3.0.2"}

# Import name -> package name, where they differ.
PACKAGES = {
    "PIL": "pillow",
    "dicomanonymizer": "dicom-anonymizer",
    "yaml": "PyYAML",
    "sqlalchemy": "SQLAlchemy",
    "llama_cpp": "llama-cpp-python",
    "pydantic_settings": "pydantic-settings",
    "jpeg_ls": "pyjpegls",
    "openjpeg": "pylibjpeg-openjpeg",
    "rle": "pylibjpeg-rle",
    "libjpeg": "pylibjpeg-libjpeg",
    "sklearn": "scikit-learn",
}


@functools.cache
def tracked(suffix: str) -> tuple[Path, ...]:
    """Files of the repository (tracked, or new and not ignored) that end in `suffix`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"*{suffix}"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # an unpacked archive has no git
        return tuple(path for path in ROOT.rglob(f"*{suffix}") if ".venv" not in path.parts and ".cache" not in path.parts)
    return tuple(path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file())


def room_files() -> list[Path]:
    """Python files that are part of the program."""
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in (*ROOMS, "app.py", "settings.py", "errors.py")]


def imports(path: Path) -> set[str]:
    """Top-level names a file imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def pinned(name: str) -> dict[str, Requirement]:
    """Package -> requirement of a requirements file."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / name).read_text(encoding="utf-8").splitlines())
    return {normal(found.name): found for found in (Requirement(line) for line in lines if line)}


def normal(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# Layers


def test_the_ground_floor_imports_no_room() -> None:
    """import-linter takes packages only, so the two modules at the bottom are watched here."""
    assert imports(ROOT / "errors.py") & {*ROOMS, "settings", "app"} == set()
    assert imports(ROOT / "settings.py") & {*ROOMS, "app"} == set()


def test_a_command_line_that_only_helps_loads_no_heavy_library() -> None:
    """`ask` has to start fast: torch, transformers, gradio and the database are imported where they are needed."""
    heavy = ("torch", "transformers", "gradio", "sqlalchemy", "pydicom", "llama_cpp")
    code = f"import sys, ui.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Sizes


def test_no_file_is_longer_than_six_hundred_lines() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines()) for suffix in (".py", ".ts", ".css", ".js") for path in tracked(suffix)
    }
    built = ROOT / "assets" / "viewer"
    long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > LONGEST and path.parent != built}
    assert long == {}


def test_the_door_has_no_logic() -> None:
    lines = (ROOT / "app.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 80
    assert not any(line.startswith(("def ", "class ")) for line in lines)


# Errors


def test_the_error_tree_is_drawn_as_it_is() -> None:
    """Every class of errors.py is in its docstring's tree, under its parent."""
    drawn = re.findall(r"^ {4}([│ ]*(?:[├└]── )?)([A-Z]\w+)", (inspect.getdoc(errors) and errors.__doc__) or "", flags=re.MULTILINE)
    stack: list[tuple[int, str]] = []
    parents: dict[str, str] = {}
    for indent, name in drawn:
        depth = len(indent)
        while stack and stack[-1][0] >= depth:
            stack.pop()
        parents[name] = stack[-1][1] if stack else "Exception"
        stack.append((depth, name))
    real = {name: kind.__base__.__name__ for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    assert parents == real


# Packages


def test_everything_imported_is_pinned() -> None:
    """A package that is only there because another brought it disappears one day."""
    run, dev = pinned("requirements.txt"), {**pinned("requirements.txt"), **pinned("requirements-dev.txt")}
    ours = {*ROOMS, "settings", "errors", "app", "tests", "llama", "tables"}
    loose: set[str] = set()
    for path in tracked(".py"):
        known = run if path in room_files() else dev
        for name in imports(path) - ours - sys.stdlib_module_names:
            if normal(PACKAGES.get(name, name)) not in known:
                loose.add(f"{path.relative_to(ROOT)}: {name}")
    assert loose == set()


def test_everything_pinned_is_imported() -> None:
    """A package that nothing imports any more is taken out; what another package brings is in .ci/constraints.txt."""
    imported = {normal(PACKAGES.get(name, name)) for path in room_files() for name in imports(path)}
    assert set(pinned("requirements.txt")) - imported == set()


def test_pins_are_exact_and_above_the_security_floors() -> None:
    run = pinned("requirements.txt")
    for found in (*run.values(), *pinned("requirements-dev.txt").values()):
        assert [clause.operator for clause in found.specifier] == ["=="], str(found)
    for name, floor in FLOORS.items():
        version = next(iter(run[name].specifier)).version
        assert Version(version) >= Version(floor), name


def test_set_up_names_the_versions_that_are_pinned() -> None:
    """torch and llama-cpp-python are installed by set-up itself, ahead of the list."""
    run = pinned("requirements.txt")
    assert f'TORCH = "{next(iter(run["torch"].specifier)).version}"' in (ROOT / ".ci" / "setup.py").read_text(encoding="utf-8")
    assert f'VERSION = "{next(iter(run["llama-cpp-python"].specifier)).version}"' in (ROOT / ".ci" / "llama.py").read_text(encoding="utf-8")


def installed_closure() -> dict[str, metadata.Distribution]:
    """Every installed package that the requirements need, directly or through others."""
    waiting = [*pinned("requirements.txt").values(), *pinned("requirements-dev.txt").values()]
    found: dict[str, metadata.Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        name = normal(wanted.name)
        if name in found:
            continue
        try:
            found[name] = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            continue
        for line in found[name].requires or ():
            needed = Requirement(line)
            extras = [{"extra": extra} for extra in wanted.extras] or [{"extra": ""}]
            if needed.marker is None or any(needed.marker.evaluate(extra) for extra in extras):
                waiting.append(needed)
    return found


def licence(package: metadata.Distribution) -> str:
    """What a package says of its licence, in its newest and its older fields."""
    about = package.metadata
    classifiers = [line for line in about.get_all("Classifier") or () if line.startswith("License")]
    return " ".join([about.get("License-Expression") or "", (about.get("License") or "")[:200], *classifiers])


def test_no_package_is_under_the_gpl() -> None:
    """The project is Apache-2.0 and stays free to combine; the LGPL and MPL are fine for a library that is only installed."""
    copyleft = re.compile(r"(?<!L)\bA?GPL|Affero|(?<!Lesser )General Public License", re.IGNORECASE)
    packages = installed_closure()
    assert len(packages) > 60
    assert {name for name, package in packages.items() if copyleft.search(licence(package))} == set()


def test_no_package_is_without_a_licence() -> None:
    assert {name for name, package in installed_closure().items() if not licence(package).strip()} == set()


def test_what_the_packages_bring_is_pinned_too() -> None:
    """Two set-ups a month apart are the same: every package of the closure has its version written down."""
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    written = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    written |= {*pinned("requirements.txt"), *pinned("requirements-dev.txt")}
    assert set(installed_closure()) - written == set()


# Addresses

OUTSIDE = re.compile(
    r"huggingface\.co|hf\.co/|cdn\.|unpkg\.com|jsdelivr|googleapis\.com|gstatic\.com|cloudflare|google-analytics|from_pretrained\(\s*[\"'][\w.-]+/[\w.-]+[\"']"
)


def test_no_address_of_a_hub_or_a_cdn_in_the_program() -> None:
    """No request leaves the machine at run time."""
    served = [
        path
        for suffix in (".js", ".css", ".html", ".ts")
        for path in tracked(suffix)
        if path.relative_to(ROOT).parts[0] in ("assets", "ui")
    ]
    named = [str(path.relative_to(ROOT)) for path in (*room_files(), *served) if OUTSIDE.search(path.read_text(encoding="utf-8"))]
    assert named == []


def test_no_path_of_somebodys_machine() -> None:
    """Paths of a developer's machine are wrong on every other."""
    homes = re.compile(r"(?<![\w.~/-])/(home|root|work|Users|farm)/[\w.]")
    named = []
    for suffix in (".py", ".md", ".txt", ".toml", ".yaml", ".yml", ".sh", ".js", ".css", "Makefile", ".ci/run", "NOTICE"):
        named += [
            str(path.relative_to(ROOT))
            for path in tracked(suffix)
            if path.name != "test_house.py" and homes.search(path.read_text(encoding="utf-8"))
        ]
    assert named == []


def test_nothing_is_left_unfinished() -> None:
    """No stub, no placeholder: what is in the rooms works. An abstract method says so with `...` in a Protocol."""
    marks = re.compile(r"\b(TODO|FIXME|raise NotImplementedError|lorem ipsum)\b")
    named = [str(path.relative_to(ROOT)) for path in room_files() if marks.search(path.read_text(encoding="utf-8"))]
    assert named == []


@pytest.mark.parametrize(
    "name", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE", "docs/log.md", "docs/benchmarks.md", ".ci/run"]
)
def test_the_house_has_its_papers(name: str) -> None:
    assert (ROOT / name).stat().st_size > 100


def test_continuous_integration_runs_make_test() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert text.rstrip().endswith("exec make test")
