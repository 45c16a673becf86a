"""The one model of this Space. Only what is in here needs a GPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from huggingface_hub import snapshot_download

import limits
from environment import on_gpu
from med3d_r1 import PreparedVolume
from med3d_r1.checkpoints import load_checkpoint, no_such_model, require_no_folder
from med3d_r1.inference import Diagnosis, EncodedScan, Report, encode_scan, stream_diagnosis, stream_report


class Engine:
    """A model, its processor, and two ways to ask it.

    `diagnose` and `report` are generators. They take a scan as it was prepared or as they gave it back: of a prepared
    one they yield the EncodedScan first, to be kept for the next question. Then they yield the text so far, again and
    again, and at last the Diagnosis or the Report. Closing one ends the writing.

    Args:
        name: model folder or Hub id.
        revision: of the Hub repository: a commit, a tag or a branch.

    Raises:
        FileNotFoundError: no such folder, and no such repository or revision within reach.
        ValueError: it is not a model of this kind, or a folder was to have a revision; see `load_checkpoint`.
    """

    def __init__(self, name: str, revision: str | None = None) -> None:
        self.name = name
        self.model, self.processor = load_checkpoint(_folder(name, revision))
        self.image_processor = self.processor.image_processor
        self.image_processor.max_bytes = limits.MAX_VOXEL_BYTES
        # On a shared GPU they run in a process of their own, to which arguments and results are sent, but not `self`.
        self.diagnose = on_gpu(self._diagnose)
        self.report = on_gpu(self._report)

    def _diagnose(
        self,
        scan: PreparedVolume | EncodedScan,
        question: str,
        options: Sequence[str] | None,
        think: bool,
        abstain_below: float,
    ) -> Iterator[EncodedScan | str | Diagnosis]:
        encoded = yield from self._encoded(scan)
        yield from stream_diagnosis(
            self.model,
            self.processor,
            encoded,
            question,
            options,
            think=think,
            abstain_below=abstain_below,
            max_new_tokens=limits.MAX_NEW_TOKENS,
        )

    def _report(self, scan: PreparedVolume | EncodedScan) -> Iterator[EncodedScan | str | Report]:
        encoded = yield from self._encoded(scan)
        yield from stream_report(self.model, self.processor, encoded, max_new_tokens=limits.MAX_NEW_TOKENS)

    def _encoded(self, scan: PreparedVolume | EncodedScan):
        if isinstance(scan, PreparedVolume):
            scan = encode_scan(self.model, self.processor, scan).to("cpu")
            yield scan
        return scan.to(self.model.device)


def _folder(name: str, revision: str | None) -> str:
    """Where a model's files are, after a download if need be. One snapshot: no part of it from another revision."""
    require_no_folder(name, revision)
    if Path(name).is_dir():
        return name
    try:
        return snapshot_download(name, revision=revision)
    except (OSError, ValueError) as error:
        raise no_such_model(name, revision) from error


__all__ = ["Engine"]
