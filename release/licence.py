"""Under which terms a model goes out: those of its weights, and those of the code that travels with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from .files import ReleaseError
from .runs import Run

CODE_LICENCE = "apache-2.0"
"""Of this package, and so of the Hub files."""

LICENCE_FILE, CODE_LICENCE_FILE = "LICENSE", "LICENSE-code"
_DATA_TERMS = {
    "ct-rate": "CT-RATE (CC-BY-NC-SA-4.0)",
    "rad-chestct": "RAD-ChestCT",
}


@dataclass(frozen=True)
class Licence:
    """
    Attributes:
        identifier: of the weights' licence, as the Hub lists it: "apache-2.0", "cc-by-nc-sa-4.0", "other".
        texts: file in the repository -> text.
    """

    identifier: str
    texts: dict[str, str]


def choose_licence(
    identifier: str | None, file: Path | None, runs: Sequence[Run], base_models: Sequence[str] = ()
) -> Licence:
    """
    Args:
        identifier: as said; None: that of the code, where no data of patients forbid it.
        file: its text; not needed for the code's own.
        runs: that made the model.
        base_models: Hub ids of models that it began with.

    Raises:
        ReleaseError: the model learnt from patients' data or began with another model, and no licence was said; or the
            licence's text is missing.
    """
    own = _code_licence()
    if identifier is None:
        learnt = sorted({_DATA_TERMS[run.dataset] for run in runs if not run.synthetic})
        if learnt or base_models:
            raise ReleaseError(
                f"--license is missing: this model comes from {', '.join([*learnt, *base_models])}, which have terms "
                "of their own. Say under which licence its weights may be passed on"
            )
        identifier = CODE_LICENCE
    if identifier == CODE_LICENCE:
        return Licence(identifier, {LICENCE_FILE: own})
    if file is None:
        raise ReleaseError(f"--license-file is missing: the text of {identifier}, which goes into the repository")
    return Licence(identifier, {LICENCE_FILE: file.read_text(encoding="utf-8"), CODE_LICENCE_FILE: own})


def _code_licence() -> str:
    """The text, from the checkout or from where pip put it."""
    here = Path(__file__).parents[1] / "LICENSE"
    if here.exists():
        return here.read_text(encoding="utf-8")
    try:
        text = distribution("med3d-r1").read_text("licenses/LICENSE")
    except PackageNotFoundError:
        text = None
    if text is None:
        raise ReleaseError("the package's own LICENSE is missing from its installation; install med3d-r1 again")
    return text


__all__ = ["CODE_LICENCE", "CODE_LICENCE_FILE", "LICENCE_FILE", "Licence", "choose_licence"]
