"""Scans -> the feature store: each goes through the frozen vision tower once, in batches, while the next are read.

How a store is filled, and gone on with, is written in `filling`. The tokens of a scan can differ in the last bits with
the scans that it shared a batch with, as all sums of many numbers do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..encoded_med3d_r1 import open_encoded, save_encoded
from ..volume_med3d_r1 import VolumeError
from .feature_store import FEATURES, Encoded, checksum, encoding
from .filling import Job, Outcome, Summary, fill
from .manifest import Refusal, Shard
from .prepare import Fetch, read_scan
from .scans import Scan, Volume
from .volume_store import Store
from .volume_store import checksum as voxels_checksum
from .workers import Died, ahead, threads_of_each, work_off

if TYPE_CHECKING:
    from ..image_processing_med3d_r1 import Med3DR1ImageProcessor
    from ..modeling_med3d_r1 import Med3DR1ForConditionalGeneration
    from ..prepared_med3d_r1 import PreparedVolume

BATCH_SIZE = 8


def encode_store(
    store: Store,
    folder: str | Path,
    model: Med3DR1ForConditionalGeneration,
    image_processor: Med3DR1ImageProcessor,
    *,
    split: str | None = None,
    **how,
) -> Summary:
    """Encode the volumes of a volume store.

    Args:
        store: filled by `prepare`, with this image processor's settings.
        folder, model, image_processor: as in `encode_scans`.
        split: only those of one split.
        how: the other arguments of `encode_scans`.
    """
    known = {name: entry.sha256 for name, entry in store.manifest.entries.items()}
    return encode_scans(scans_of(store, split), folder, model, image_processor, known_voxels=known, **how)


def scans_of(store: Store, split: str | None = None) -> list[Scan]:
    """The scans of a volume store as its manifest has them: without labels and reports, their volumes in the store.

    Raises:
        ValueError: it has no scans of this split.
    """
    entries = [entry for entry in store.manifest.entries.values() if split in (None, entry.split)]
    if split and not entries:
        offered = ", ".join(sorted({entry.split for entry in store.manifest.entries.values()}))
        raise ValueError(f"{store.folder} has no volumes of the split {split!r}, only of {offered or 'none'}")
    examinations = groupby(entries, lambda entry: (entry.dataset, entry.split, entry.patient, entry.scan))
    return [
        Scan(*examination, tuple(Volume(entry.volume, Path(store.path(entry.volume))) for entry in volumes))
        for examination, volumes in examinations
    ]


def encode_scans(
    scans: Iterable[Scan],
    folder: str | Path,
    model: Med3DR1ForConditionalGeneration,
    image_processor: Med3DR1ImageProcessor,
    *,
    batch_size: int = BATCH_SIZE,
    workers: int = 0,
    known_voxels: Mapping[str, str] | None = None,
    shard: Shard = (1, 1),
    limit: int | None = None,
    verify: bool = False,
    fetch: Fetch | None = None,
    progress: bool = False,
) -> Summary:
    """Fill a feature store with the volumes of some scans, or go on doing so.

    Args:
        scans: all of the data set, also with `shard`; their files raw, or those of a volume store.
        folder: the feature store.
        model: whose vision tower sees them, in the dtype and on the device that the model has.
        image_processor: what all volumes go through first; that of the model.
        batch_size: scans that go through the vision tower together. Twice as many are held in memory.
        workers: processes that read; 0: a thread. See `workers.py` for what a program with workers must heed.
        known_voxels: volume name -> checksum of its voxels, where it is known: what was made of others is made anew.
        shard, limit, verify, fetch, progress: as in `prepare_scans`.

    Raises:
        StoreError: the store was encoded with other weights or another preprocessing, another process fills this
            shard, or two volumes would have one file.
        OSError: the store cannot be written.
        ValueError: there is no such shard, or the limit or the batch size is not 1 or more.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is 1 or more scans; got {batch_size}")
    folder, known = Path(folder).expanduser(), known_voxels or {}
    made_with = encoding(model, image_processor)
    encoder = _Encoder(folder, model, image_processor, made_with["weights"])
    threads = threads_of_each(workers) if workers else None
    read = _Reading(folder, image_processor, made_with["weights"], known, fetch, threads)
    imports = [type(image_processor).__module__]

    def work(jobs: list[Job]) -> Iterator[Outcome]:
        batch: list[_Read] = []
        results = work_off(jobs, read, workers, imports)
        with closing(ahead(_tensors(results, image_processor), batch_size)) as ready:
            for result in ready:
                if not isinstance(result, _Read):
                    yield result
                    continue
                batch.append(result)
                if len(batch) == batch_size:
                    yield from encoder(batch)
                    batch = []
            yield from encoder(batch)

    return fill(
        scans, folder, FEATURES, made_with, work, shard=shard, limit=limit, verify=verify, progress=progress,
        is_current=lambda job, stored: known.get(job.volume.name, stored.source_sha256) == stored.source_sha256,
    )  # fmt: skip


@dataclass
class _Read:
    """A scan that was read and waits for the vision tower.

    Attributes:
        job: what it is.
        voxels: the prepared volume, and then the model's tensor (1, D, H, W).
        sha256: of the prepared volume.
        seconds: that reading took.
    """

    job: Job
    voxels: PreparedVolume | torch.Tensor
    sha256: str
    seconds: float


def _tensors(results: Iterator, image_processor: Med3DR1ImageProcessor) -> Iterator[_Read | Outcome]:
    """What was read in other processes, which hand on int16 to save the way, as the model's tensors."""
    with closing(results):
        for job, result in results:
            if isinstance(result, _Read):
                result.voxels = image_processor.to_tensor(result.voxels)
            yield ("refused", job.refusal(result)) if isinstance(result, Died) else result


@dataclass(frozen=True)
class _Reading:
    """What is done about each job before the vision tower sees it, in whichever process."""

    folder: Path
    image_processor: Med3DR1ImageProcessor
    weights: str
    known: Mapping[str, str]
    fetch: Fetch | None
    threads: int | None

    def __call__(self, job: Job) -> _Read | Outcome:
        started, path = time.perf_counter(), FEATURES.path(self.folder, job.volume.name)
        kept = None if job.anew else self._kept(job, path)
        if kept is not None and (job.stored is None or kept.sha256 == job.stored.sha256):
            return "found", job.stored or kept
        prepared = read_scan(job, self.image_processor, self.fetch, self.threads)
        if isinstance(prepared, Refusal):
            path.unlink(missing_ok=True)
            return "refused", prepared
        return _Read(job, prepared, voxels_checksum(prepared), time.perf_counter() - started)

    def _kept(self, job: Job, path: Path) -> Encoded | None:
        """The row of what the store has already, if it is whole, of these weights, settings and voxels."""
        try:
            features, record = open_encoded(path)
        except (FileNotFoundError, VolumeError):
            return None
        voxels = record["source_sha256"]
        own = {"preprocessing": self.image_processor.tensor_preprocessing, "weights": self.weights}
        if any(record[key] != value for key, value in own.items()) or voxels != self.known.get(job.volume.name, voxels):
            return None
        return _entry(job, path, features, voxels, 0.0)


@dataclass(frozen=True)
class _Encoder:
    """What the vision tower does with a batch."""

    folder: Path
    model: Med3DR1ForConditionalGeneration
    image_processor: Med3DR1ImageProcessor
    weights: str

    def __call__(self, batch: list[_Read]) -> Iterator[Outcome]:
        if not batch:
            return
        started = time.perf_counter()
        volumes = torch.stack([scan.voxels for scan in batch]).to(self.model.device, self.model.dtype)
        with torch.inference_mode():
            tokens = self.model.encode_volumes(volumes).to("cpu", torch.bfloat16)
        seconds = (time.perf_counter() - started) / len(batch)
        for scan, features in zip(batch, tokens, strict=True):
            yield self._store(scan, features, scan.seconds + seconds)

    def _store(self, scan: _Read, features: torch.Tensor, seconds: float) -> Outcome:
        path = FEATURES.path(self.folder, scan.job.volume.name)
        if not features.isfinite().all():
            path.unlink(missing_ok=True)
            rule, found = "the vision tower makes numbers of a scan", "infinite ones, or none"
            return "refused", scan.job.refusal(VolumeError(scan.job.volume.name, rule, found, "Encode in float32."))
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "volume": scan.job.volume.name,
            "source_sha256": scan.sha256,
            "weights": self.weights,
            "preprocessing": self.image_processor.tensor_preprocessing,
        }
        save_encoded(path, features, record)
        how = "repaired" if scan.job.stored else "made"
        return how, _entry(scan.job, path, features, scan.sha256, seconds)


def _entry(job: Job, path: Path, features: torch.Tensor, voxels: str, seconds: float) -> Encoded:
    facts = job.entry(path, checksum(features), seconds)
    return Encoded(**facts, tokens=list(features.shape), source_sha256=voxels)


__all__ = ["BATCH_SIZE", "encode_scans", "encode_store", "scans_of"]
