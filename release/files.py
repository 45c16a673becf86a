"""What may lie in a folder that is published, and what never: scans, secrets, leftovers of training.

Rules, in the order in which they are looked at:

    any folder        a scan is known by its first bytes or its name, a secret by its name or by how keys are written
    a model folder    holds the files of `save_checkpoint` and no others: what is unknown is refused
    written anew      README.md, LICENSE, .eval_results/ and evaluation/ of a release that came before are not sent as
                      they are; `former_claims` says which numbers they hold
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.protocol import plain

CODE_SUFFIX = "_med3d_r1.py"
SETTINGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
"""Without one of these a model folder is not whole."""

WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_MORE_TOKENIZER = {"added_tokens.json", "merges.txt", "special_tokens_map.json", "vocab.json"}
_WRITTEN_ANEW = re.compile(r"README\.md|LICENSE(-code)?|\.gitattributes|\.eval_results/.+|evaluation/.+")

_SCAN_NAMES = re.compile(
    r".*\.(nii|nii\.gz|dcm|dicom|ima|nrrd|nhdr|mha|mhd|img|hdr|npz|npy|h5|hdf5)|dicomdir", re.IGNORECASE
)
_STORE_NAMES = re.compile(r"(.*/)?manifest/.+|(.*/)?phantom\.json", re.IGNORECASE)
_SECRET_NAMES = re.compile(
    r"\.env(\..+)?|\.netrc|\.npmrc|\.pypirc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|token|stored_tokens"
    r"|credentials(\..+)?|secrets?(\..+)?|.*\.(pem|key|p12|pfx|keystore)",
    re.IGNORECASE,
)
_LEFTOVER_NAMES = re.compile(
    r"(.*/)?(optimizer|scheduler|scaler)(_\d+)?\.(pt|bin|safetensors)|(.*/)?rng_state.*\.pth|(.*/)?trainer_state\.json"
    r"|(.*/)?training_args\.bin|(.*/)?run\.json|(.*/)?adapter_(model|config)\..+|(.*/)?events\.out\.tfevents.*"
    r"|(.*/)?[^/]+\.(bin|pt|pth|pkl|pickle|ckpt|part|lock|incomplete)|(.*/)?checkpoint-\d+/.*|(.*/)?__pycache__/.*"
    r"|(.*/)?\.(git|cache)/.*|(.*/)?global_step\d+/.*",
    re.IGNORECASE,
)
_SECRETS = (
    ("a token of Hugging Face", re.compile(r"\b(hf|api_org)_[A-Za-z0-9]{20,}")),
    ("a token of GitHub", re.compile(r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a token of GitLab", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a key of a model provider", re.compile(r"\bsk-[A-Za-z0-9_-]{24,}")),
    ("a key of AWS", re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a key of Google", re.compile(r"\bAIza[0-9A-Za-z_-]{35}")),
    ("a token of Slack", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")),
    (
        "a password or key",
        re.compile(
            r"(?i)[\"']?\b[a-z_]*(api[_-]?key|secret|password|passwd|access[_-]?token|hf[_-]?token)[\"']?"
            r"\s*[:=]\s*[\"'][^\"'\s]{8,}[\"']"
        ),
    ),
)
_HEAD_BYTES = 512
_TEXT_BYTES = 64 << 20
"""Text files of a model are smaller: a tokenizer of 150,000 tokens has 11 MB."""


class ReleaseError(ValueError):
    """Something must not, or cannot, be published. Nothing was sent."""


@dataclass(frozen=True)
class Entry:
    """One file as it would be sent.

    Attributes:
        path: in the repository, with slashes.
        source: where it lies here.
        size: in bytes.
        sha256: of its content.
    """

    path: str
    source: Path
    size: int
    sha256: str


def entries_of(folder: Path) -> list[Entry]:
    """All files below a folder, by name. Links to files count as the files."""
    return [Entry(name, path, path.stat().st_size, sha256_of(path)) for name, path in files_below(folder)]


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """(path with slashes, file) of all files below a folder, hidden ones too, by name."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


def sha256_of(path: Path) -> str:
    with open(path, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def model_files(folder: Path) -> dict[str, Path]:
    """The files of a model folder that a release takes over, by name.

    Raises:
        ReleaseError: one is missing, or there is a file that no release holds.
    """
    if not folder.is_dir():
        raise ReleaseError(f"{folder}: no such folder; give a model folder, such as RUN/model")
    found = dict(files_below(folder))
    kept = {name: path for name, path in found.items() if not _WRITTEN_ANEW.fullmatch(name)}
    allowed = {*SETTINGS, *_MORE_TOKENIZER, WEIGHTS, WEIGHTS_INDEX}
    for name, path in kept.items():
        refuse_private(folder / name, name)
        if not (name in allowed or _SHARD.fullmatch(name) or name.endswith(CODE_SUFFIX)):
            raise ReleaseError(f"{folder / name}: {_what_it_is(name)}. Remove it from the folder, or move it elsewhere")
        if path.suffix == ".json":
            _require_json(path)
    missing = [name for name in SETTINGS if name not in kept]
    if missing:
        raise ReleaseError(
            f"{folder}: {', '.join(missing)} missing, so this is no whole model folder; save model and processor "
            "together"
        )
    return kept


def weight_files(folder: Path) -> list[Path]:
    """The weights of a model folder: one file, or the shards of its index.

    Raises:
        ReleaseError: they are not there, or files of weights lie beside them that nothing refers to.
    """
    shards = {path.name for path in folder.glob("model-*.safetensors")}
    index = folder / WEIGHTS_INDEX
    named = {WEIGHTS}
    if index.exists():
        named = set(_require_json(index).get("weight_map", {}).values())
    present = shards | ({WEIGHTS} if (folder / WEIGHTS).exists() else set())
    if absent := sorted(named - present):
        raise ReleaseError(f"{folder}: the weights {absent[0]} are missing; a release holds them as safetensors")
    if stray := sorted(present - named):
        raise ReleaseError(f"{folder / stray[0]}: weights that {WEIGHTS_INDEX} does not name. Remove them")
    return sorted(folder / name for name in named)


def refuse_private(path: Path, name: str) -> None:
    """
    Args:
        path: of the file.
        name: of the file in its folder, with slashes.

    Raises:
        ReleaseError: it is a scan, part of a store of scans, or holds a secret. Of a secret only the place is told.
    """
    head = _head(path)
    kind = _scan_kind(head)
    if kind is not None:
        raise ReleaseError(f"{path}: {kind}, by its first bytes. Scans are never published; remove it from the folder")
    if _SCAN_NAMES.fullmatch(Path(name).name) or _STORE_NAMES.fullmatch(name):
        raise ReleaseError(f"{path}: a scan or part of a store of scans, by its name. Remove it from the folder")
    if _SECRET_NAMES.fullmatch(Path(name).name):
        raise ReleaseError(f"{path}: a file for secrets, by its name. Remove it from the folder")
    if path.suffix != ".safetensors":
        _refuse_secret(path)


def former_claims(folder: Path) -> list[tuple[str, float]]:
    """(file, number) for each measured number in the card and the evaluation results that lie in a model folder.

    Raises:
        ReleaseError: one of these files cannot be read.
    """
    import yaml
    from huggingface_hub import ModelCard

    claims: list[tuple[str, float]] = []
    card, results = folder / "README.md", sorted((folder / ".eval_results").glob("*.yaml"))
    try:
        if card.exists():
            entries = ModelCard.load(card).data.to_dict().get("model-index", [])
            values = [metric["value"] for one in entries for result in one["results"] for metric in result["metrics"]]
            claims += [("README.md", value) for value in values]
        for path in results:
            stated = yaml.safe_load(path.read_text(encoding="utf-8")) or []
            claims += [(f".eval_results/{path.name}", entry["value"]) for entry in stated]
        return [(name, float(value)) for name, value in plain(claims)]
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise ReleaseError(
            f"{folder}: its former card or evaluation results cannot be read ({error}). A release writes them anew: "
            "remove README.md and .eval_results from the folder"
        ) from error


def _what_it_is(name: str) -> str:
    if _LEFTOVER_NAMES.fullmatch(name):
        return "left over from training or from a download; a release holds no such file, and no pickle"
    return "no file of a model folder, so it is not known what it would give away"


def _require_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ReleaseError(f"{path}: not JSON ({error}). Save the model folder again") from error


def _refuse_secret(path: Path) -> None:
    if path.stat().st_size > _TEXT_BYTES:
        raise ReleaseError(f"{path}: larger than any text file of a model, {_TEXT_BYTES >> 20} MB. Remove it")
    text = path.read_bytes().decode("utf-8", errors="replace")
    for what, pattern in _SECRETS:
        if found := pattern.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise ReleaseError(
                f"{path}, line {line}: {what}, by how it is written. Remove it; if it was ever published, revoke it"
            )


def _head(path: Path) -> bytes:
    """The first bytes, of gzip those that are inside."""
    with open(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error):
        return head


def _scan_kind(head: bytes) -> str | None:
    """What kind of scan begins with these bytes; None: none that is known."""
    if head[128:132] == b"DICM" or (head[:2] in (b"\x02\x00", b"\x08\x00") and head[4:6].isalpha()):
        return "a DICOM file"
    if head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0"):
        return "a NIfTI file"
    for beginning, kind in (
        (b"NRRD", "an NRRD file"),
        (b"ObjectType", "a MetaImage file"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file"),
        (b"PK\x03\x04", "an archive of files or arrays"),
    ):
        if head.startswith(beginning):
            return kind
    return None


__all__ = [
    "CODE_SUFFIX",
    "SETTINGS",
    "WEIGHTS",
    "WEIGHTS_INDEX",
    "Entry",
    "ReleaseError",
    "entries_of",
    "files_below",
    "former_claims",
    "model_files",
    "refuse_private",
    "sha256_of",
    "weight_files",
]
