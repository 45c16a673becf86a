"""The Space's folder -> what goes to the Hub: its files, the model in the header, and this package beside them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from .files import Entry, ReleaseError, entries_of, files_below, refuse_private
from .package import REQUIREMENTS, bring_package

SPACE = Path(__file__).parents[1] / "space"
NEEDED = ("README.md", REQUIREMENTS)
_MADE_BY_PYTHON = "__pycache__"


@dataclass(frozen=True)
class SpaceRelease:
    """
    Attributes:
        repo_id: of the Space, "owner/name".
        model: Hub id of the model that it loads.
        revision: of the model: a tag, a branch or a commit; None: main.
        folder: of the Space.
    """

    repo_id: str
    model: str
    revision: str | None = None
    folder: Path | None = None


@dataclass(frozen=True)
class StagedSpace:
    """A folder that may be sent as it is."""

    folder: Path
    entries: list[Entry]

    @property
    def message(self) -> str:
        """Of the commit."""
        return f"Release the Space with med3d-r1 {__version__}"


def stage_space(release: SpaceRelease, target: Path) -> StagedSpace:
    """Check the Space's folder and put together what is sent.

    Args:
        target: a new folder for it.

    Raises:
        ReleaseError: a file is missing, the header is not one of a Gradio Space, a scan or a secret lies in the folder,
            or as in `bring_package`.
    """
    from huggingface_hub import RepoCard

    folder = release.folder or SPACE
    if not folder.is_dir():
        raise ReleaseError(f"{folder}: the Space's folder is missing; name it with --folder")
    files = {name: path for name, path in files_below(folder) if _MADE_BY_PYTHON not in Path(name).parts}
    for name, path in files.items():
        refuse_private(path, name)
    if missing := [name for name in NEEDED if name not in files]:
        raise ReleaseError(f"{folder}: {', '.join(missing)} missing; a Space has {' and '.join(NEEDED)}")
    header = _header(folder / "README.md", files)
    target.mkdir(parents=True)
    for name, path in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)
    bring_package(target)
    header.data["models"] = [release.model]
    (target / "README.md").write_text(str(header), encoding="utf-8")
    RepoCard.load(target / "README.md")
    return StagedSpace(target, entries_of(target))


def _header(path: Path, files: dict[str, Any]) -> Any:
    """The README with its header, made sure to be one of a Gradio Space."""
    from huggingface_hub import SpaceCard

    try:
        card = SpaceCard.load(path)
    except ValueError as error:
        raise ReleaseError(f"{path}: its header cannot be read. {error}") from error
    if card.data.get("sdk") != "gradio":
        raise ReleaseError(f"{path}: its header has sdk {card.data.get('sdk')!r}, and this Space is one of gradio")
    app = card.data.get("app_file", "app.py")
    if app not in files:
        raise ReleaseError(f"{path}: its header names app_file {app}, and there is no such file")
    return card


__all__ = ["SPACE", "SpaceRelease", "StagedSpace", "stage_space"]
