"""The package itself as files of a Space, which has no index to install it from.

Beside `app.py` lies a folder of the package's name, where Python finds it first; in `requirements.txt` stand the
package's own requirements in the place of its name.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

from .files import ReleaseError

DISTRIBUTION, PACKAGE = "med3d-r1", "med3d_r1"
REQUIREMENTS = "requirements.txt"
_ROOT = Path(__file__).parents[1]
_ITS_LINE = re.compile(r"med3d[-_.]r1\b.*", re.IGNORECASE)


def bring_package(folder: Path) -> None:
    """Copy the package into a Space whose requirements name it; of another nothing is changed.

    Args:
        folder: of the Space, with its requirements.

    Raises:
        ReleaseError: the folder has something of the package's name already, or the package runs from a checkout that
            was never installed, so that nobody knows its requirements.
    """
    path = folder / REQUIREMENTS
    lines = path.read_text(encoding="utf-8").splitlines()
    if not any(map(_ITS_LINE.fullmatch, lines)):
        return
    target = folder / PACKAGE
    if target.exists():
        raise ReleaseError(f"{target}: the package goes there; remove it, or its name from {REQUIREMENTS}")
    for source in _sources():
        place = target / source.relative_to(_ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    said = f"# {DISTRIBUTION} travels along, in {PACKAGE}/. What it needs:"
    kept = [line for line in lines if not _ITS_LINE.fullmatch(line)]
    path.write_text("\n".join([*kept, said, *_needed()]) + "\n", encoding="utf-8")


def _sources() -> Iterator[Path]:
    """The package's modules. A checkout has tests and a virtual environment beside them, which are no packages."""
    yield from sorted(_ROOT.glob("*.py"))
    for package in sorted(_ROOT.glob("*/__init__.py")):
        yield from sorted(package.parent.rglob("*.py"))


def _needed() -> list[str]:
    """Requirements of the installed distribution without its extras."""
    try:
        found = requires(DISTRIBUTION) or []
    except ModuleNotFoundError as error:
        raise ReleaseError(
            f"{DISTRIBUTION} is not installed, so its requirements are not known: pip install . in its checkout"
        ) from error
    return [line for line in found if "extra ==" not in line]


__all__ = ["DISTRIBUTION", "PACKAGE", "REQUIREMENTS", "bring_package"]
