"""Scans -> the volume store: each goes through the image processor once, in several processes, on several machines.

    run again after anything        what is stored is not touched; a file without a row in the manifest is taken over
    a scan that is refused          is noted with its reason, the others go on; the next run tries it again
    a source of another size        than the one a stored volume was made from is another scan: prepared again
    an error of the store itself    (no room, no permission) ends the run

Which of n shards a volume belongs to depends on its name alone, so n machines can fill one folder.
"""

from __future__ import annotations

import hashlib
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..prepared_med3d_r1 import PreparedVolume
from ..volume_med3d_r1 import VolumeError
from .scans import Scan, Volume
from .volume_store import (
    Entry,
    Manifest,
    ManifestPart,
    Refusal,
    Shard,
    StoreError,
    checksum,
    read_manifest,
    volume_path,
    volume_stem,
)
from .workers import Died, work_off

if TYPE_CHECKING:
    from ..image_processing_med3d_r1 import Med3DR1ImageProcessor

_LOG_SECONDS = 30.0

Fetch = Callable[[Path], object]
How = Literal["prepared", "found", "repaired", "refused"]


@dataclass(frozen=True)
class Job:
    """One volume to be prepared.

    Attributes:
        volume: where it lies and how it is read.
        dataset, split, patient, scan: as in `Scan`.
        stored: what the manifest says of it, if its file is to be checked.
        anew: whether to prepare it even where there is a file.
    """

    volume: Volume
    dataset: str
    split: str
    patient: str
    scan: str
    stored: Entry | None = None
    anew: bool = False


@dataclass
class Summary:
    """What a run did.

    Attributes:
        wanted: volumes asked for, of this shard.
        present: those of them that were stored before and left alone.
        prepared: those that went through the image processor.
        found: whole files that were taken over or, with `verify`, compared with their checksum and found intact.
        repaired: those whose file was broken and which were prepared again.
        refused: those that could not be prepared.
        bytes: of all wanted volumes that are stored now.
        seconds: that the run took.
        report: where refusals stand.
    """

    wanted: int = 0
    present: int = 0
    prepared: int = 0
    found: int = 0
    repaired: int = 0
    refused: list[Refusal] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    report: Path = Path()

    def count(self, how: How, outcome: Entry | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self.refused.append(outcome)
        else:
            setattr(self, how, getattr(self, how) + 1)

    @property
    def scans_per_second(self) -> float:
        """Of those that went through the image processor; with the time that processes take to start."""
        return (self.prepared + self.repaired) / self.seconds if self.seconds else 0.0


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
    """Fill a store with the volumes of some scans, or go on doing so.

    Args:
        scans: all of the data set, also with `shard`.
        folder: the store.
        image_processor: what all volumes go through.
        workers: processes; 0: all in this one. See `workers.py` for what a program with workers must heed.
        shard: (i, n), take only the i-th of n parts.
        limit: take only so many volumes, the first ones.
        verify: compare volumes that are stored already with their checksums, and prepare again what is broken.
        compress: files take less room, and longer to write and to read.
        fetch: makes sure that a source lies at its path, such as `HubFolder.fetch`. That there is no such file refuses
            the volume; anything else that it raises ends the run.
        progress: show a bar on stderr.

    Raises:
        StoreError: the store was prepared with other settings, another process fills this shard, or two volumes would
            have one file.
        OSError: the store cannot be written.
        ValueError: there is no such shard, or the limit is not 1 or more.
    """
    started = time.perf_counter()
    folder = Path(folder).expanduser()
    volumes = _wanted(scans, shard, limit)
    with ManifestPart(folder, shard, image_processor.preprocessing) as part:
        _remove_halves(folder, volumes)
        manifest = read_manifest(folder)
        jobs = [job for name in volumes if (job := _todo(volumes[name], folder, manifest, verify)) is not None]
        summary = Summary(len(volumes), len(volumes) - len(jobs), report=part.refused_path)
        work = _Preparation(folder, image_processor, compress, fetch)
        imports = [type(image_processor).__module__]
        with _bar(summary, progress) as bar, closing(work_off(jobs, work, workers, imports)) as results:
            for job, result in results:
                how, outcome = ("refused", _refusal(job, result)) if isinstance(result, Died) else result
                part.add(outcome)
                summary.count(how, outcome)
                bar.set_postfix(refused=len(summary.refused), refresh=False)
                bar.update()
    entries = read_manifest(folder).entries
    summary.bytes = sum(entries[name].bytes for name in volumes if name in entries)
    summary.seconds = time.perf_counter() - started
    return summary


def in_shard(volume: str, shard: Shard) -> bool:
    """Whether a volume belongs to the i-th of n parts, by a hash of its name.

    Raises:
        ValueError: the shard is not (i, n) with 1 <= i <= n.
    """
    index, count = shard
    if not 1 <= index <= count:
        raise ValueError(f"shard {index}/{count}: the parts are 1/{max(count, 1)} to {max(count, 1)}/{max(count, 1)}")
    return int.from_bytes(hashlib.sha256(volume.encode()).digest()[:8], "big") % count == index - 1


def _wanted(scans: Iterable[Scan], shard: Shard, limit: int | None) -> dict[str, Job]:
    """Volume name -> job, in the order of the scans."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is 1 or more volumes; got {limit}")
    jobs: dict[str, Job] = {}
    names: dict[str, str] = {}
    for scan in scans:
        for volume in scan.volumes:
            stem = volume_stem(volume.name)
            if stem in names:
                raise StoreError(f"two volumes would have one file in the store: {names[stem]} and {volume.name}")
            names[stem] = volume.name
            if in_shard(volume.name, shard):
                jobs[volume.name] = Job(volume, scan.dataset, scan.split, scan.patient, scan.name)
            if len(jobs) == limit:
                return jobs
    return jobs


def _todo(job: Job, folder: Path, manifest: Manifest, verify: bool) -> Job | None:
    """What is to be done about a volume: nothing where it is stored and its source is still the same."""
    stored = manifest.entries.get(job.volume.name)
    if stored is None or not volume_path(folder, job.volume.name).is_file():
        return job
    size = _size(job.volume.path)
    if None not in (size, stored.source_bytes) and size != stored.source_bytes:
        return replace(job, anew=True)
    return replace(job, stored=stored) if verify else None


@dataclass(frozen=True)
class _Preparation:
    """What is done about each job, in whichever process."""

    folder: Path
    image_processor: Med3DR1ImageProcessor
    compress: bool
    fetch: Fetch | None

    def __call__(self, job: Job) -> tuple[How, Entry | Refusal]:
        started, path = time.perf_counter(), volume_path(self.folder, job.volume.name)
        kept = None if job.anew else self._kept(path)
        if kept is not None and (job.stored is None or checksum(kept) == job.stored.sha256):
            return "found", job.stored or _entry(job, kept, path, started)
        prepared = self._prepared(job)
        if isinstance(prepared, Refusal):
            path.unlink(missing_ok=True)
            return "refused", prepared
        path.parent.mkdir(parents=True, exist_ok=True)
        prepared.save(path, self.compress)
        return "repaired" if job.stored else "prepared", _entry(job, prepared, path, started)

    def _kept(self, path: Path) -> PreparedVolume | None:
        """What the store has already, if it is whole and of this preprocessing."""
        try:
            return self.image_processor.prepare(PreparedVolume.load(path))
        except (FileNotFoundError, VolumeError):
            return None

    def _prepared(self, job: Job) -> PreparedVolume | Refusal:
        source = job.volume.path
        try:
            if self.fetch:
                self.fetch(source)
        except FileNotFoundError as error:
            return _refusal(job, error)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they stand in the record
                return self.image_processor.prepare(source, **job.volume.reading)
        except Exception as error:  # whatever is wrong with one scan, the others go on
            return _refusal(job, error)


def _refusal(job: Job, reason: Exception | Died) -> Refusal:
    if isinstance(reason, VolumeError):
        told = reason.rule, reason.found, reason.remedy
    elif isinstance(reason, Died):
        told = "the process that prepares a scan must live to its end", f"that it {reason}", "Try fewer workers."
    else:
        told = "a scan must be readable", f"{type(reason).__name__} ({reason})", "Look at the file, or copy it again."
    return Refusal(job.volume.name, str(job.volume.path), *told)


def _entry(job: Job, prepared: PreparedVolume, path: Path, started: float) -> Entry:
    record = prepared.record
    return Entry(
        volume=job.volume.name,
        dataset=job.dataset,
        split=job.split,
        patient=job.patient,
        scan=job.scan,
        sha256=checksum(prepared),
        bytes=path.stat().st_size,
        source_bytes=_size(job.volume.path),
        **{name: record[name] for name in ("source_shape", "source_spacing", "source_orientation")},
        **{name: record[name] for name in ("hu_min", "hu_max", "warnings")},
        seconds=time.perf_counter() - started,
        prepared_at=time.time(),
    )


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none, or a folder."""
    return path.stat().st_size if path.is_file() else None


def _remove_halves(folder: Path, volumes: Iterable[str]) -> None:
    """Remove what a killed run left half-written of these volumes. No other process writes them."""
    stems = {volume_stem(volume) for volume in volumes}
    for half in folder.glob("volumes/*/.*.partial"):
        if half.name[1:].rpartition(".npz.")[0] in stems:
            half.unlink(missing_ok=True)


def _bar(summary: Summary, progress: bool):
    """Volumes done, rate and time left. A log file gets a line now and then."""
    from tqdm import tqdm

    interval = 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    return tqdm(
        total=summary.wanted, initial=summary.present, unit="scan", disable=not progress, mininterval=interval,
        maxinterval=interval, smoothing=0.1,
    )  # fmt: skip


__all__ = ["Job", "Summary", "in_shard", "prepare_scans"]
