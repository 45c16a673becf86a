"""Every file imports from strictly lower floors only, and Hub files nothing that the Hub's loader could not find.

The floors of the house stand in the two tables below. A new file is entered there before it is imported anywhere.
"""

import ast
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
from transformers.dynamic_module_utils import get_imports, get_relative_imports

ROOT = Path(__file__).resolve().parent.parent

HUB_FLOORS = (
    ("answers", "blocks3d", "configuration", "hu_guard", "language_model", "resampling", "volume"),
    ("bridge", "encoded", "prepared", "prompts", "reading", "vision", "weights"),
    ("arrays", "dicom_frames", "geometry", "modeling", "nifti"),
    ("dicom",),
    ("volume_io",),
    ("image_processing",),
    ("processing",),
)
"""Flat files of the root, without their suffix _med3d_r1. They travel with every checkpoint."""

PACKAGE_FLOORS = (
    ("__init__", "abnormalities", "wording"),
    ("lora", "metrics", "pictures", "quantization", "terminal", "tiny"),
    ("checkpoints", "data", "inference"),
    ("figures", "rewards"),
    ("trainers", "evaluation"),
    ("training",),
    ("demo", "release"),
    ("verbs", "verbs_data", "verbs_demo", "verbs_evaluation", "verbs_release", "verbs_space", "verbs_training"),
    ("cli",),
)
"""Other files and folders of the package: all of them above the Hub files. A folder is one unit."""

TEXT_ONLY = {"abnormalities", "metrics", "wording"}
"""Package code that is pure data, text or numbers: the standard library and numpy, no torch, and of the Hub files only
the one that is pure text itself."""

TEXT_HUB_FILES = {"answers_med3d_r1"}

HUB_LIBRARIES = {"torch", "transformers", "numpy"}

HUB = {f"{name}_med3d_r1": floor for floor, names in enumerate(HUB_FLOORS) for name in names}
PACKAGE = {name: len(HUB_FLOORS) + floor for floor, names in enumerate(PACKAGE_FLOORS) for name in names}
FLOOR = HUB | PACKAGE
HUB_FILES = sorted(ROOT.glob("*_med3d_r1.py"))
PACKAGE_FILES = sorted({*ROOT.glob("*.py")} - {*HUB_FILES}) + sorted(
    file for folder in PACKAGE for file in (ROOT / folder).rglob("*.py")
)


def unit_of(file: Path) -> str:
    """What a file counts as in the tables: its own name in the root, else its folder's."""
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


@dataclass(frozen=True)
class Import:
    line: int
    library: str | None  # the top name of an absolute import
    unit: str | None  # the name in the tables of an import from the package itself

    def __str__(self) -> str:
        return f"line {self.line}: {self.library or self.unit}"


def imports_of(file: Path) -> list[Import]:
    """Every import statement in a file, also those inside functions."""
    found = []
    depth = len(file.relative_to(ROOT).parts)  # so many dots lead from the file to the root
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, *_absolute(alias.name)) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [Import(node.lineno, *_absolute(name)) for name in names]
        elif isinstance(node, ast.ImportFrom):
            from_root = [] if node.level == depth else [unit_of(file)]
            paths = [[*from_root, *(node.module or alias.name).split(".")] for alias in node.names]
            found += [Import(node.lineno, None, _unit(path)) for path in paths]
    return found


def _absolute(name: str) -> tuple[str | None, str | None]:
    top, *rest = name.split(".")
    return (None, _unit(rest)) if top == "med3d_r1" else (top, None)


def _unit(path: list[str]) -> str:
    """A name that is no file and no folder is one of the root's own: `from . import register`."""
    return path[0] if path and path[0] in FLOOR else "__init__"


def names(files: list[Path]) -> list[str]:
    return [str(file.relative_to(ROOT)) for file in files]


def test_every_file_of_the_root_stands_on_a_floor_and_no_floor_is_stale():
    folders = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert {unit_of(file) for file in (*HUB_FILES, *PACKAGE_FILES)} <= FLOOR.keys()
    assert HUB.keys() == {file.stem for file in HUB_FILES}
    assert folders <= FLOOR.keys()


@pytest.mark.parametrize("file", HUB_FILES, ids=names(HUB_FILES))
def test_a_hub_file_imports_lower_siblings_and_what_every_user_has(file):
    allowed = HUB_LIBRARIES | sys.stdlib_module_names
    for found in imports_of(file):
        if found.unit is None:
            assert found.library in allowed, f"{file.name}, {found}"
        else:
            assert found.unit in HUB, f"{file.name}, {found} does not travel to the Hub"
            assert HUB[found.unit] < HUB[file.stem], f"{file.name}, {found} is not on a lower floor"


@pytest.mark.parametrize("file", HUB_FILES, ids=names(HUB_FILES))
def test_the_loader_of_remote_code_sees_the_same_imports(file):
    """transformers reads imports with regular expressions too: a line of a docstring can look like one."""
    assert set(get_relative_imports(file)) == {found.unit for found in imports_of(file) if found.unit}
    assert set(get_imports(file)) <= HUB_LIBRARIES | sys.stdlib_module_names


@pytest.mark.parametrize("file", HUB_FILES, ids=names(HUB_FILES))
def test_a_hub_file_imports_siblings_by_name_only(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1, f"{file.name}, line {node.lineno}"
            assert node.module in HUB, f"{file.name}, line {node.lineno}"


@pytest.mark.parametrize("file", PACKAGE_FILES, ids=names(PACKAGE_FILES))
def test_a_package_file_imports_lower_floors(file):
    unit = unit_of(file)
    for found in imports_of(file):
        if found.unit is not None and found.unit != unit:
            low = unit == "__init__" or found.unit == "__init__" or FLOOR[found.unit] < FLOOR[unit]
            assert low, f"{file.relative_to(ROOT)}, {found} is not on a lower floor"


@pytest.mark.parametrize(
    "file", TEXT := [file for file in PACKAGE_FILES if unit_of(file) in TEXT_ONLY], ids=names(TEXT)
)
def test_text_only_code_needs_no_torch(file):
    for found in imports_of(file):
        assert found.unit is None or found.unit in PACKAGE.keys() | TEXT_HUB_FILES, f"{file.name}, {found}"
        assert found.library is None or found.library in {"numpy"} | sys.stdlib_module_names, f"{file.name}, {found}"


def test_the_root_imports_nothing_when_it_is_imported():
    statements = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8")).body
    eager = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Try)]
    assert [ast.unparse(node) for node in eager] == ["from importlib import import_module"]


SPACE = sorted((ROOT / "space").glob("*.py"))
SPACE_LIBRARIES = {"gradio", "huggingface_hub", "numpy", "spaces", "starlette"}


@pytest.mark.parametrize("file", SPACE, ids=names(SPACE))
def test_the_space_stands_on_the_public_names_of_the_package(file):
    """It is copied to a repository of its own, beside which the package is installed: what it takes must be public."""
    siblings = {sibling.stem for sibling in SPACE}
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            tops = {alias.name.partition(".")[0] for alias in node.names}
            assert tops <= SPACE_LIBRARIES | siblings | sys.stdlib_module_names, f"{file.name}, line {node.lineno}"
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}, line {node.lineno}"
            top = node.module.partition(".")[0]
            if top == "med3d_r1":
                module = import_module(node.module)
                public = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
                assert {alias.name for alias in node.names} <= set(public), f"{file.name}, line {node.lineno}"
            else:
                allowed = SPACE_LIBRARIES | siblings | sys.stdlib_module_names
                assert top in allowed, f"{file.name}, line {node.lineno}"


def test_the_first_thing_that_the_space_imports_is_its_environment():
    """The package spaces wants to come before torch, and gradio reads its folder when it is imported."""
    imports = [
        node
        for node in ast.parse((ROOT / "space" / "app.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    outside = [name for node in imports for name in _tops(node) if name not in sys.stdlib_module_names]
    assert outside[0] == "environment"


def _tops(node: ast.Import | ast.ImportFrom) -> list[str]:
    return [node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
