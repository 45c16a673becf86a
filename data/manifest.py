"""What the stores of scans share: a file for each volume, a manifest of them, and a note of what was refused.

    STORE/
      volumes/3f/valid_1_a_1.npz     what is stored; where it lies follows from the volume's name
      manifest/all.parquet           one row a volume; what all of them went through stands in the file's metadata
      refused/all.jsonl              volumes that are not stored, a line (`Refusal`) each, and why

The manifest is an index and can be made again from the files. Where the work was divided, each part of it is written
by one process alone (`manifest/2-of-4.parquet`); parts are merged when they are read, and of two rows for one volume
the later counts.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from .. import __version__
from ..volume_med3d_r1 import VolumeError
from .scans import Scan, Volume

FORMAT = 1
"""Raised when a store's layout changes."""

SAVE_EVERY_SECONDS = 30.0
"""A killed process loses at most this much of its part. Volumes are not lost: the next run finds their files."""

Shard = tuple[int, int]
"""(i, n), 1 <= i <= n: the i-th of n parts of the work."""

Item = TypeVar("Item")

_METADATA = b"med3d_r1"
_SUFFIXES = (".nii.gz", ".nii", ".npz", ".npy", ".zip")


class StoreError(ValueError):
    """A store cannot be read or written as it is."""


@dataclass(frozen=True)
class Stored:
    """One stored volume: what every kind of store says of it in a row of its manifest.

    Attributes:
        volume: its name in the data set's tables.
        dataset, split, patient, scan: as in `Scan`.
        sha256: of the content.
        bytes: of the stored file.
        source_bytes: of the file that it was made from, None where that is not one file. Another size, another scan.
        seconds: that it took; prepared_at: when it was done, in seconds since 1970.
    """

    volume: str
    dataset: str
    split: str
    patient: str
    scan: str
    sha256: str
    bytes: int
    source_bytes: int | None
    seconds: float
    prepared_at: float


@dataclass(frozen=True)
class Kind:
    """What tells one kind of store from another.

    Attributes:
        name: what it holds, and the folder of it.
        suffix: of its files.
        row: the class of a manifest's rows, a dataclass on top of `Stored`.
        verb, done: what is done to a scan, in two forms, for messages.
    """

    name: str
    suffix: str
    row: type[Stored]
    verb: str
    done: str

    def path(self, folder: Path, volume: str) -> Path:
        """Where a store has a volume. Folders of about the same size, by a hash of the name.

        >>> Kind("volumes", ".npz", Stored, "prepare", "prepared").path(Path("store"), "valid_1_a_1.nii.gz").as_posix()
        'store/volumes/d0/valid_1_a_1.npz'
        """
        stem = volume_stem(volume)
        return folder / self.name / hashlib.sha256(stem.encode()).hexdigest()[:2] / f"{stem}{self.suffix}"


@dataclass(frozen=True)
class Refusal:
    """A volume that could not be stored, and why.

    Attributes:
        volume, path: its name, and where it was read from.
        rule, found, remedy: as in `VolumeError`.
    """

    volume: str
    path: str
    rule: str
    found: str
    remedy: str

    @property
    def sentence(self) -> str:
        return str(VolumeError(self.volume, self.rule, self.found, self.remedy))


@dataclass(frozen=True)
class Manifest:
    """What is known about a store.

    Attributes:
        preprocessing: the settings of all that its volumes went through.
        entries: volume name -> what is stored.
        refusals: volume name -> why it is not.
    """

    preprocessing: dict[str, Any]
    entries: dict[str, Any]
    refusals: dict[str, Refusal]


class StoredScans(Mapping[str, Item], Generic[Item]):
    """A store to read from: volume name -> what is stored of it.

    Rows of training data hold paths of its files: give `images=store.path_of` to the functions that make rows, and
    `store.stored(scans)` for their scans.

    Args:
        folder: the store.

    Raises:
        StoreError: there is no store of this kind, or its manifest cannot be read.
    """

    kind: ClassVar[Kind]

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder).expanduser()
        manifest = read_manifest(self.folder, self.kind)
        if manifest is None:
            raise StoreError(f"{self.folder}: no store of {self.kind.name}; `med3d-r1 {self.kind.verb}` makes one")
        self.manifest = manifest

    def __iter__(self) -> Iterator[str]:
        return iter(self.manifest.entries)

    def __len__(self) -> int:
        return len(self.manifest.entries)

    def __contains__(self, volume: object) -> bool:
        return volume in self.manifest.entries

    def path(self, volume: str) -> str:
        """Where a volume lies: what image processors, processors and rows of training data take.

        Raises:
            KeyError: the volume is not stored; the message says why, where it was refused.
        """
        if volume not in self:
            refusal = self.manifest.refusals.get(volume)
            raise KeyError(f"{volume} is not in {self.folder}" + (f": {refusal.sentence}" if refusal else ""))
        return str(self.kind.path(self.folder, volume))

    def path_of(self, volume: Volume) -> str:
        """`path` for a volume of a data set: the `images` of the functions that make rows."""
        return self.path(volume.name)

    def stored(self, scans: Iterable[Scan]) -> list[Scan]:
        """The scans with those of their volumes that are stored; scans without any are left out."""
        kept = (replace(scan, volumes=tuple(v for v in scan.volumes if v.name in self)) for scan in scans)
        return [scan for scan in kept if scan.volumes]

    def faults(self) -> Iterator[tuple[str, str | None]]:
        """(volume name, what is wrong with its file, or None), for each volume: reads all of them."""
        for volume, entry in self.manifest.entries.items():
            try:
                intact = self.checksum(volume) == entry.sha256
            except (VolumeError, OSError) as error:
                yield volume, str(error)
            else:
                yield volume, None if intact else "its content is not what was stored"

    @abstractmethod
    def checksum(self, volume: str) -> str:
        """sha256 of what the file has now, to be compared with `Stored.sha256`."""

    @property
    def fingerprint(self) -> str:
        """sha256 of names, checksums and preprocessing: the same for every store with the same content."""
        lines = sorted(f"{entry.volume} {entry.sha256}" for entry in self.manifest.entries.values())
        settings = json.dumps(self.manifest.preprocessing, sort_keys=True)
        return hashlib.sha256("\n".join([settings, *lines]).encode()).hexdigest()


class ManifestPart:
    """The part of a manifest that this process writes. Enter it as a context.

    Args:
        folder: the store, made if need be.
        kind: of the store.
        shard: which part of the work.
        preprocessing: of the volumes that will be stored.

    Raises:
        StoreError: on entering: the store was made with other settings, or another process writes this part.
    """

    def __init__(self, folder: Path, kind: Kind, shard: Shard, preprocessing: dict[str, Any]):
        part = "all" if shard == (1, 1) else f"{shard[0]}-of-{shard[1]}"
        self.folder, self.kind, self.preprocessing = folder, kind, preprocessing
        self.refused_path = folder / "refused" / f"{part}.jsonl"
        self._path = folder / "manifest" / f"{part}.parquet"
        self._entries: dict[str, Stored] = {}
        self._refusals: dict[str, Refusal] = {}
        self._saved_at = 0.0
        self._closing = ExitStack()

    def __enter__(self) -> ManifestPart:
        from filelock import Timeout
        from huggingface_hub.utils import WeakFileLock

        if (manifest := read_manifest(self.folder, self.kind)) is not None:
            require_preprocessing(self.folder, self.kind, manifest.preprocessing, self.preprocessing)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._closing.enter_context(WeakFileLock(self._path.with_suffix(".lock"), timeout=0.1))
        except Timeout:
            raise StoreError(
                f"{self._path}: another process is writing this part of the store. Wait for it, or divide the work by "
                "--shard"
            ) from None
        if self._path.exists():
            self._entries = {entry.volume: entry for entry in _read_part(self._path, self.kind)[1]}
        self._refusals = {refusal.volume: refusal for refusal in _read_refusals(self.refused_path)}
        self.save()
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            self.save()

    def add(self, outcome: Stored | Refusal) -> None:
        """Note what became of a volume. It replaces what was known of it."""
        for known in (self._entries, self._refusals):
            known.pop(outcome.volume, None)
        known = self._refusals if isinstance(outcome, Refusal) else self._entries
        known[outcome.volume] = outcome
        if time.monotonic() - self._saved_at > SAVE_EVERY_SECONDS:
            self.save()

    def save(self) -> None:
        """Write the part anew."""
        arrow, parquet = _pyarrow()
        facts = {
            "format": FORMAT,
            "kind": self.kind.name,
            "preprocessing": self.preprocessing,
            "written_by": f"med3d_r1 {__version__}",
        }
        schema = arrow.schema(_columns(arrow, self.kind), metadata={_METADATA: json.dumps(facts)})
        table = arrow.Table.from_pylist([vars(entry) for entry in self._entries.values()], schema=schema)
        _replace(self._path, lambda file: parquet.write_table(table, file))
        lines = "".join(json.dumps({**vars(r), "sentence": r.sentence}) + "\n" for r in self._refusals.values())
        if lines or self.refused_path.exists():
            self.refused_path.parent.mkdir(exist_ok=True)
            _replace(self.refused_path, lambda file: file.write(lines.encode()))
        self._saved_at = time.monotonic()


def read_manifest(folder: Path, kind: Kind) -> Manifest | None:
    """All parts of a store's manifest as one; None where there is no store.

    Raises:
        StoreError: a part cannot be read, it is of another kind, or parts were made with different settings.
    """
    paths = sorted((folder / "manifest").glob("*.parquet"))
    if not paths:
        return None
    preprocessing, entries = None, {}
    for path in paths:
        settings, part = _read_part(path, kind)
        require_preprocessing(path, kind, settings, preprocessing or settings)
        preprocessing = settings
        for entry in part:
            if entry.volume not in entries or entry.prepared_at >= entries[entry.volume].prepared_at:
                entries[entry.volume] = entry
    refusals = [refusal for path in sorted((folder / "refused").glob("*.jsonl")) for refusal in _read_refusals(path)]
    return Manifest(preprocessing, entries, {r.volume: r for r in refusals if r.volume not in entries})


def volume_stem(volume: str) -> str:
    """The name of a volume without the suffix of its file.

    Raises:
        StoreError: it cannot be the name of a file.
    """
    stem = next((volume.removesuffix(suffix) for suffix in _SUFFIXES if volume.endswith(suffix)), volume)
    if not stem or stem != Path(stem).name or stem.startswith(".") or not stem.isprintable():
        raise StoreError(f"{volume!r} cannot be the name of a volume in a store: its file could not have that name")
    return stem


def require_preprocessing(place: Path, kind: Kind, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """
    Raises:
        StoreError: the settings differ; both are told.
    """
    differing = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    if differing:
        theirs, ours = (", ".join(f"{key} {of.get(key)}" for key in differing) for of in (found, wanted))
        raise StoreError(
            f"{place} was {kind.done} with {theirs}, and {ours} is asked for: take what the store was made with, or "
            f"{kind.verb} another store"
        )


def _columns(arrow: Any, kind: Kind) -> list[tuple[str, Any]]:
    types = {
        "str": arrow.string(),
        "int": arrow.int64(),
        "int | None": arrow.int64(),
        "float": arrow.float64(),
        "list[int]": arrow.list_(arrow.int64()),
        "list[float]": arrow.list_(arrow.float64()),
        "list[str]": arrow.list_(arrow.string()),
    }
    return [(field.name, types[field.type]) for field in fields(kind.row)]


def _read_part(path: Path, kind: Kind) -> tuple[dict[str, Any], list[Any]]:
    """(preprocessing, rows)."""
    arrow, parquet = _pyarrow()
    try:
        table = parquet.read_table(path)
        facts = json.loads(table.schema.metadata[_METADATA])
        if facts["format"] != FORMAT:
            raise StoreError(
                f"{path}: format {facts['format']}, this version reads {FORMAT}: {kind.verb} the store again"
            )
        if (found := facts.get("kind", "volumes")) != kind.name:  # volumes were the first kind, and did not say so
            raise StoreError(f"{path} is of a store of {found}, where one of {kind.name} is wanted")
        return facts["preprocessing"], [kind.row(**row) for row in table.to_pylist()]
    except (arrow.ArrowException, OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise StoreError(
            f"{path} cannot be read ({error}). Remove it and {kind.verb} again: what is stored is kept"
        ) from error


def _read_refusals(path: Path) -> list[Refusal]:
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Refusal(**{field.name: row[field.name] for field in fields(Refusal)}) for row in rows]


def _replace(path: Path, write: Any) -> None:
    """Write a file that appears whole or not at all, also when the power fails."""
    draft = path.with_name(f".{path.name}.part")
    with open(draft, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError("the manifest of a store needs pyarrow: pip install 'med3d-r1[data]'") from error


__all__ = [
    "FORMAT",
    "Kind",
    "Manifest",
    "ManifestPart",
    "Refusal",
    "Shard",
    "StoreError",
    "Stored",
    "StoredScans",
    "read_manifest",
    "require_preprocessing",
    "volume_stem",
]
