"""The documents say what the code says: rules, files, links and commands."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from med3d_r1 import hu_guard_med3d_r1, image_processing_med3d_r1
from med3d_r1.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
READING = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RULES = ("volume", "volume_io", "reading", "nifti", "dicom", "arrays", "geometry", "image_processing", "hu_guard")


@pytest.mark.parametrize("name", RULES)
def test_the_reading_rules_are_the_modules_docstrings(name):
    """Where this fails, copy the module's docstring into its block."""
    module = ast.parse((ROOT / f"{name}_med3d_r1.py").read_text(encoding="utf-8"))
    assert f"\n```text\n{ast.get_docstring(module)}\n```\n" in READING


def test_the_numbers_behind_the_rules():
    processing, guard = image_processing_med3d_r1, hu_guard_med3d_r1
    assert (
        f"FEW_SLICES {processing.FEW_SLICES}, THICK_MM {processing.THICK_MM:g}, WIDE_MM {processing.WIDE_MM:g}, "
        f"SMALL_SHARE {processing.SMALL_SHARE:g} and LONG_RATIO {processing.LONG_RATIO:g}."
    ) in READING
    assert f"SAMPLES {guard.SAMPLES:,} and PADDING_SHARE {guard.PADDING_SHARE:.1%}".replace("%", " %") in READING


def test_the_tree_names_every_file():
    tree = README.partition("## The tree")[2]
    for file in ROOT.glob("*.py"):
        assert re.search(rf"(?m)(^|  ){re.escape(file.name)}\s", tree), file.name
    for name in re.findall(r"(?m)^\w+\.py|  (\w+\.py)", tree):
        assert not name or (ROOT / name).is_file() or (ROOT / "tests" / name).is_file(), name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


def test_the_commands_of_the_readme_are_commands():
    lines = "".join(re.findall(r"```bash\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ").splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("med3d-r1 ") and "--help" not in line]
    assert len(commands) >= 4
    for command in commands:
        args, rest = build_parser().parse_known_args(command)
        assert args.verb == command[0]
        assert not rest or command[0] == "train"  # whose keys are the recipe's
