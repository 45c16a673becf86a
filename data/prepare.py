"""Scans -> the volume store: each goes through the image processor once, in several processes, on several machines.

How a store is filled, and gone on with, is written in `filling`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..prepared_med3d_r1 import PreparedVolume
from ..volume_med3d_r1 import VolumeError
from .filling import Job, Outcome, Summary, fill
from .manifest import Refusal, Shard
from .scans import Scan
from .volume_store import VOLUMES, Entry, checksum
from .workers import Died, threads_of_each, work_off

if TYPE_CHECKING:
    from ..image_processing_med3d_r1 import Med3DR1ImageProcessor

Fetch = Callable[[Path], object]


def prepare_scans(
    scans: Iterable[Scan],
    folder: str | Path,
    image_processor: Med3DR1ImageProcessor,
    *,
    workers: int = 0,
    shard: Shard = (1, 1),
    limit: int | None = None,
    verify: bool = False,
    compress: bool = False,
    fetch: Fetch | None = None,
    progress: bool = False,
) -> Summary:
    """Fill a volume store with the volumes of some scans, or go on doing so.

    Args:
        scans: all of the data set, also with `shard`.
        folder: the store.
        image_processor: what all volumes go through.
        workers: processes; 0: all in this one. See `workers.py` for what a program with workers must heed.
        shard, limit, progress: as in `fill`.
        verify: compare volumes that are stored already with their checksums, and prepare again what is broken.
        compress: files take less room, and longer to write and to read.
        fetch: makes sure that a source lies at its path, such as `HubFolder.fetch`. That there is no such file refuses
            the volume; anything else that it raises ends the run.

    Raises: as `fill`.
    """
    folder = Path(folder).expanduser()
    prepare = _Preparation(folder, image_processor, compress, fetch, threads_of_each(workers) if workers else None)
    imports = [type(image_processor).__module__]

    def work(jobs: list[Job]) -> Iterator[Outcome]:
        with closing(work_off(jobs, prepare, workers, imports)) as results:
            for job, result in results:
                yield ("refused", job.refusal(result)) if isinstance(result, Died) else result

    return fill(
        scans, folder, VOLUMES, image_processor.preprocessing, work, shard=shard, limit=limit, verify=verify,
        progress=progress,
    )  # fmt: skip


def read_scan(
    job: Job, image_processor: Med3DR1ImageProcessor, fetch: Fetch | None = None, threads: int | None = None
) -> PreparedVolume | Refusal:
    """A scan on the model's grid. Whatever is wrong with it, the others go on.

    Args:
        job, image_processor, fetch: the scan, what it goes through, and what sees to it that it is there.
        threads: that this process may use, from now on; None: as many as it does.
    """
    if threads:
        torch.set_num_threads(threads)
    source = job.volume.path
    try:
        if fetch:
            fetch(source)
    except FileNotFoundError as error:
        return job.refusal(error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they stand in the record
            return image_processor.prepare(source, **job.volume.reading)
    except Exception as error:
        return job.refusal(error)


@dataclass(frozen=True)
class _Preparation:
    """What is done about each job, in whichever process."""

    folder: Path
    image_processor: Med3DR1ImageProcessor
    compress: bool
    fetch: Fetch | None
    threads: int | None

    def __call__(self, job: Job) -> Outcome:
        started, path = time.perf_counter(), VOLUMES.path(self.folder, job.volume.name)
        kept = None if job.anew else self._kept(path)
        if kept is not None and (job.stored is None or checksum(kept) == job.stored.sha256):
            return "found", job.stored or _entry(job, kept, path, started)
        prepared = read_scan(job, self.image_processor, self.fetch, self.threads)
        if isinstance(prepared, Refusal):
            path.unlink(missing_ok=True)
            return "refused", prepared
        path.parent.mkdir(parents=True, exist_ok=True)
        prepared.save(path, self.compress)
        return "repaired" if job.stored else "made", _entry(job, prepared, path, started)

    def _kept(self, path: Path) -> PreparedVolume | None:
        """What the store has already, if it is whole and of this preprocessing."""
        try:
            return self.image_processor.prepare(PreparedVolume.load(path))
        except (FileNotFoundError, VolumeError):
            return None


def _entry(job: Job, prepared: PreparedVolume, path: Path, started: float) -> Entry:
    names = ("source_shape", "source_spacing", "source_orientation", "hu_min", "hu_max", "warnings")
    return Entry(
        **job.entry(path, checksum(prepared), time.perf_counter() - started),
        **{name: prepared.record[name] for name in names},
    )


__all__ = ["Fetch", "prepare_scans", "read_scan"]
