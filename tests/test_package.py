"""The package around the Hub files: it starts at once, keeps its promised names, and installs with what it needs."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from shutil import copy, copytree, ignore_patterns, which

import pytest

import med3d_r1

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = PYPROJECT["tool"]["setuptools"]["packages"]
PROMISED = (
    "Med3DR1Config",
    "Med3DR1VisionConfig",
    "Med3DR1ForConditionalGeneration",
    "Med3DR1Processor",
    "Med3DR1ImageProcessor",
    "VolumeError",
    "VolumeWarning",
    "register",
)
NOT_CODE_OF_THE_PACKAGE = {"benchmarks", "build", "dist", "docs", "recipes", "space", "tests"}


def python(code: str, folder: Path | None = None, **environment: str) -> str:
    """What a program of its own prints."""
    environment = {**os.environ, **environment}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


def test_importing_the_package_imports_nothing_else():
    before_and_after = (
        "import sys; before = set(sys.modules); import med3d_r1; print(*sorted(set(sys.modules) - before))"
    )
    loaded = {name for name in python(before_and_after).split() if not name.startswith("__editable__")}
    assert loaded <= {"med3d_r1", "importlib", "importlib._bootstrap", "importlib._bootstrap_external", "warnings"}


def test_help_loads_none_of_the_large_libraries():
    listing = (
        "import sys\ntry:\n    from med3d_r1.cli import main\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
    )
    printed = python(listing + "print(*sys.modules)").splitlines()
    assert not {"numpy", "torch", "transformers", "huggingface_hub"} & set(printed[-1].split())


def test_what_is_made_of_results_needs_no_torch():
    """Comparisons, tables and the demo's page read files and count."""
    modules = ("evaluation.comparisons", "evaluation.paper_tables", "evaluation.reasoning", "demo.page", "demo.study")
    loaded = python(f"import {', '.join(f'med3d_r1.{one}' for one in modules)}, sys; print(*sys.modules)").split()
    assert not {"torch", "transformers"} & {*loaded}


@pytest.mark.parametrize("name", PROMISED)
def test_promised_names_resolve_and_are_listed(name):
    assert getattr(med3d_r1, name).__name__ == name
    assert name in med3d_r1.__all__
    assert name in dir(med3d_r1)


def test_every_public_name_comes_from_the_package_itself():
    homes = {name: getattr(med3d_r1, name).__module__ for name in med3d_r1.__all__ if name != "__version__"}
    assert all(home.partition(".")[0] == "med3d_r1" for home in homes.values()), homes


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'med3d_r1' has no attribute 'Med2DR1'"):
        med3d_r1.Med2DR1  # noqa: B018


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("trl", r"needs trl, .* pip install 'med3d-r1\[train\]'"),
        ("peft.tuners", r"needs peft.tuners, .* pip install 'med3d-r1\[train\]'"),
        ("torch", "^No module named 'torch'$"),
    ],
)
def test_a_missing_library_is_named_with_the_extra_that_brings_it(monkeypatch, missing, message):
    def broken_import(name, package):
        raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setitem(med3d_r1._HOMES, "Trainer", "trainers")
    monkeypatch.setattr(med3d_r1, "import_module", broken_import)
    with pytest.raises(ModuleNotFoundError, match=message) as raised:
        med3d_r1.Trainer  # noqa: B018
    assert raised.value.name == missing


def test_the_hint_knows_every_direct_requirement_of_the_extras():
    extras = {
        requirement.partition(">=")[0]: extra
        for extra, requirements in PYPROJECT["project"]["optional-dependencies"].items()
        for requirement in requirements
        if extra != "dev" and not requirement.startswith("med3d-r1[")
    }
    assert extras == med3d_r1._EXTRAS


def test_every_requirement_is_pinned_in_the_constraints():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins["torch"].replace(".", "").isdigit()  # neither a URL nor one machine's build
    extras = PYPROJECT["project"]["optional-dependencies"].values()
    direct = {requirement.partition(">=")[0] for group in extras for requirement in group}
    direct |= {requirement.partition(">=")[0] for requirement in PYPROJECT["project"]["dependencies"]}
    direct = {name for name in direct if not name.startswith("med3d-r1[")}
    normal = {name.lower().replace("_", "-") for name in pins}
    assert {name.lower() for name in direct} <= normal


def test_every_folder_with_code_is_in_the_list_of_packages():
    with_code = {file.parent.relative_to(ROOT).parts for file in ROOT.glob("[!.]*/**/*.py")}
    folders = {parts for parts in with_code if parts[0] not in NOT_CODE_OF_THE_PACKAGE}
    assert set(PACKAGES) == {"med3d_r1", *(".".join(("med3d_r1", *parts)) for parts in folders)}


def test_the_wheel_holds_the_packages_files_recipes_and_space_and_nothing_else_and_imports(tmp_path):
    source = tmp_path / "source"
    copytree(
        ROOT, source, ignore=ignore_patterns(".*", "*.egg-info", "__pycache__", "build", "dist", "outputs", "runs")
    )
    python("import setuptools.build_meta as backend; backend.build_wheel('..')", source)

    (wheel,) = tmp_path.glob("*.whl")
    folders = [ROOT.joinpath(*package.split(".")[1:]) for package in PACKAGES]
    modules = {f"med3d_r1/{file.relative_to(ROOT).as_posix()}" for folder in folders for file in folder.glob("*.py")}
    recipes = {f"med3d_r1/{file.relative_to(ROOT).as_posix()}" for file in ROOT.glob("recipes/*/*.yaml")}
    space = {f"med3d_r1/space/{file.name}" for file in (ROOT / "space").iterdir() if file.is_file()}
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert held == modules | recipes | space
    where = python("import med3d_r1; print(med3d_r1.__file__)", PYTHONPATH=str(wheel))
    assert where.strip() == f"{wheel}/med3d_r1/__init__.py"


@pytest.mark.skipif(which("git") is None, reason="git is not installed")
def test_git_ignores_scans_and_environments_but_no_code(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    copy(ROOT / ".gitignore", tmp_path)
    ignored = {".venv/bin/python", "scan.nii.gz", "weights/model.safetensors", "build/demo/report.txt"}
    kept = {
        "data/ct_rate.py",
        "evaluation/benchmarks/mmvqa.py",
        "recipes/tiny/sft.yaml",
        "config.json",
        "docs/chest.png",
    }
    done = subprocess.run(
        ["git", "check-ignore", *sorted(ignored | kept)], cwd=tmp_path, capture_output=True, text=True
    )
    assert set(done.stdout.split()) == ignored
