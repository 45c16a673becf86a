"""How a store is filled, whatever its kind: only what is missing, in parts, and to the end although some scans are bad.

    run again after anything        what is stored is not touched; a file without a row in the manifest is taken over
    a scan that is refused          is noted with its reason, the others go on; the next run tries it again
    a source that changed           (another size) is another scan: what was stored of it is made anew
    an error of the store itself    (no room, no permission) ends the run

Which of n shards a volume belongs to depends on its name alone, so n machines can fill one folder.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ..volume_med3d_r1 import VolumeError
from .manifest import Kind, Manifest, ManifestPart, Refusal, Shard, Stored, StoreError, read_manifest, volume_stem
from .scans import Scan, Volume
from .workers import Died

_LOG_SECONDS = 30.0

How = Literal["made", "found", "repaired", "refused"]
Outcome = tuple[How, Stored | Refusal]


@dataclass(frozen=True)
class Job:
    """One volume to be stored.

    Attributes:
        volume: where it lies and how it is read.
        dataset, split, patient, scan: as in `Scan`.
        stored: what the manifest says of it, if its file is to be checked.
        anew: whether to make it even where there is a file.
    """

    volume: Volume
    dataset: str
    split: str
    patient: str
    scan: str
    stored: Stored | None = None
    anew: bool = False

    def entry(self, path: Path, sha256: str, seconds: float) -> dict[str, Any]:
        """The fields of `Stored` for what lies at `path` now."""
        return {
            "volume": self.volume.name,
            "dataset": self.dataset,
            "split": self.split,
            "patient": self.patient,
            "scan": self.scan,
            "sha256": sha256,
            "bytes": path.stat().st_size,
            "source_bytes": _size(self.volume.path),
            "seconds": seconds,
            "prepared_at": time.time(),
        }

    def refusal(self, reason: Exception | Died) -> Refusal:
        """Why there will be nothing of this volume."""
        if isinstance(reason, VolumeError):
            told = reason.rule, reason.found, reason.remedy
        elif isinstance(reason, Died):
            told = "the process that reads a scan must live to its end", f"that it {reason}", "Try fewer workers."
        else:
            found = f"{type(reason).__name__} ({reason})"
            told = "a scan must be readable", found, "Look at the file, or copy it again."
        return Refusal(self.volume.name, str(self.volume.path), *told)


Work = Callable[[list[Job]], Iterator[Outcome]]


@dataclass
class Summary:
    """What a run did.

    Attributes:
        wanted: volumes asked for, of this shard.
        present: those of them that were stored before and left alone.
        made: those that were prepared or encoded.
        found: whole files that were taken over or, with `verify`, compared with their checksum and found intact.
        repaired: those whose file was broken and which were made again.
        refused: those that could not be made.
        bytes: of all wanted volumes that are stored now.
        seconds: that the run took.
        report: where refusals stand.
    """

    wanted: int = 0
    present: int = 0
    made: int = 0
    found: int = 0
    repaired: int = 0
    refused: list[Refusal] = field(default_factory=list)
    bytes: int = 0
    seconds: float = 0.0
    report: Path = Path()

    def count(self, how: How, outcome: Stored | Refusal) -> None:
        if isinstance(outcome, Refusal):
            self.refused.append(outcome)
        else:
            setattr(self, how, getattr(self, how) + 1)

    @property
    def scans_per_second(self) -> float:
        """Of those that were made; with the time that processes take to start."""
        return (self.made + self.repaired) / self.seconds if self.seconds else 0.0


def fill(
    scans: Iterable[Scan],
    folder: Path,
    kind: Kind,
    preprocessing: dict[str, Any],
    work: Work,
    *,
    shard: Shard = (1, 1),
    limit: int | None = None,
    verify: bool = False,
    progress: bool = False,
    is_current: Callable[[Job, Stored], bool] = lambda job, stored: True,
) -> Summary:
    """Fill a store with the volumes of some scans, or go on doing so.

    Args:
        scans: all of the data set, also with `shard`.
        folder, kind: the store.
        preprocessing: what all that is stored went through.
        work: is given what is to be done, and does it: an outcome for each job, in any order.
        shard: (i, n), take only the i-th of n parts.
        limit: take only so many volumes, the first ones.
        verify: hand on volumes that are stored already, too, to be compared with their checksums.
        progress: show a bar on stderr.
        is_current: whether what is stored was made of what the source is now, beside its size.

    Raises:
        StoreError: the store was made with other settings, another process fills this shard, or two volumes would
            have one file.
        OSError: the store cannot be written.
        ValueError: there is no such shard, or the limit is not 1 or more.
    """
    started = time.perf_counter()
    volumes = _wanted(scans, shard, limit)
    with ManifestPart(folder, kind, shard, preprocessing) as part:
        _remove_halves(folder, kind, volumes)
        manifest = read_manifest(folder, kind)
        todo = (_todo(job, folder, kind, manifest, verify, is_current) for job in volumes.values())
        jobs = [job for job in todo if job is not None]
        summary = Summary(len(volumes), len(volumes) - len(jobs), report=part.refused_path)
        with _bar(summary, progress) as bar, closing(work(jobs)) as outcomes:
            for how, outcome in outcomes:
                part.add(outcome)
                summary.count(how, outcome)
                bar.set_postfix(refused=len(summary.refused), refresh=False)
                bar.update()
    entries = read_manifest(folder, kind).entries
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


def _todo(
    job: Job,
    folder: Path,
    kind: Kind,
    manifest: Manifest,
    verify: bool,
    is_current: Callable[[Job, Stored], bool],
) -> Job | None:
    """What is to be done about a volume: nothing where it is stored and its source is still the same."""
    stored = manifest.entries.get(job.volume.name)
    if stored is None or not kind.path(folder, job.volume.name).is_file():
        return job
    size = _size(job.volume.path)
    resized = None not in (size, stored.source_bytes) and size != stored.source_bytes
    if resized or not is_current(job, stored):
        return replace(job, anew=True)
    return replace(job, stored=stored) if verify else None


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none, or a folder."""
    return path.stat().st_size if path.is_file() else None


def _remove_halves(folder: Path, kind: Kind, volumes: Iterable[str]) -> None:
    """Remove what a killed run left half-written of these volumes. No other process writes them."""
    stems = {volume_stem(volume) for volume in volumes}
    for half in folder.glob(f"{kind.name}/*/.*.partial"):
        if half.name[1:].rpartition(f"{kind.suffix}.")[0] in stems:
            half.unlink(missing_ok=True)


def _bar(summary: Summary, progress: bool):
    """Volumes done, rate and time left. A log file gets a line now and then."""
    from tqdm import tqdm

    interval = 0.1 if sys.stderr.isatty() else _LOG_SECONDS
    return tqdm(
        total=summary.wanted, initial=summary.present, unit="scan", disable=not progress, mininterval=interval,
        maxinterval=interval, smoothing=0.1,
    )  # fmt: skip


__all__ = ["How", "Job", "Outcome", "Summary", "Work", "fill", "in_shard"]
