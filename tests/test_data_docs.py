"""docs/data.md says what the modules say."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
MODULES = ("ct_rate", "hub_files", "vqa", "rad_chestct", "rows", "mmvqa", "balanced_options")


@pytest.mark.parametrize("name", MODULES)
def test_the_rules_are_the_modules_docstrings(name):
    """Where this fails, copy the module's docstring into its block."""
    module = ast.parse((ROOT / "data" / f"{name}.py").read_text(encoding="utf-8"))
    assert f"`data/{name}.py`\n\n```text\n{ast.get_docstring(module)}\n```\n" in DOCUMENT


def test_its_code_runs_as_far_as_it_needs_no_data():
    blocks = [part.split("```")[0] for part in DOCUMENT.split("```python\n")[1:]]
    for block in blocks:
        ast.parse(block)
        imports = [line for line in block.splitlines() if line.startswith("from ")]
        exec("\n".join(imports), {})
