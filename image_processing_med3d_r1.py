"""Med3DR1ImageProcessor: a chest CT in any form -> the model's tensor.

    file, folder, array ... --open_volume--> CTVolume --prepare--> PreparedVolume --to_tensor--> (1, D, H, W)
                             HU, affine                int16 HU on the           window, normalise
                                                       model's grid

A scan that went through the vision tower before (`encoded_med3d_r1`) is taken as it is: its tokens (L, C) stand in for
the tensor.

Default values are those of the release and its CT-RATE preprocessing: 1.5 x 1.5 x 3 mm, 256 x 256 x 128 voxels cropped
or padded about the centre, of which the middle 224 x 224 x 112 are seen (336 mm each way), -1000..1000 HU to -1..1,
then (v - 0.4978) / 0.2449. How a scan is brought onto that grid is written in the module of `place`, which numbers pass
as HU in that of `examine`.

Beyond both, a scan is read with a `VolumeWarning` where

- it has fewer than FEW_SLICES axial slices, or voxels more than THICK_MM apart along an axis;
- it is wider than WIDE_MM from side to side or front to back, which tells of a wrong unit;
- it fills less than SMALL_SHARE of what the model sees;
- it is longer than LONG_RATIO times what the model sees: the middle need not be the chest.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.image_processing_utils import BaseImageProcessor, BatchFeature
from transformers.processing_utils import ImagesKwargs

from .encoded_med3d_r1 import ENCODED_SUFFIX, is_encoded, open_encoded
from .geometry_med3d_r1 import ModelGrid, Placement, Pose, place
from .hu_guard_med3d_r1 import GUARD_MODES, VoxelStatistics, examine
from .prepared_med3d_r1 import SIDES, PreparedVolume
from .reading_med3d_r1 import DEFAULT_MAX_BYTES
from .volume_io_med3d_r1 import open_volume
from .volume_med3d_r1 import CTVolume, VolumeError, VolumeWarning, orientation_codes

PREPROCESSING_VERSION = 1
"""Raised whenever the voxels of a prepared volume would come out differently: stores made before are then refused."""

FEW_SLICES, THICK_MM, WIDE_MM, SMALL_SHARE, LONG_RATIO = 16, 10.0, 1000.0, 0.1, 1.5

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".npz", ".npy", ".zip")
"""Files that hold a whole volume. In `images`, an inner list of other files is taken as the slices of one volume."""

_INT16_BY_BITS = np.arange(1 << 16).astype(np.uint16).view(np.int16)


# No postponed annotations in this file: processors look into these classes' annotations as they stand.
class Med3DR1ImagesKwargs(ImagesKwargs, total=False):
    """What may be said about the scans of a call, for all of them.

    spacing: millimetres between voxel centres along the array's axes.
    affine: (4, 4), array indices to millimetres, RAS+.
    orientation: three letters, the directions in which the axes grow.
    series: which DICOM series to read.
    modality: which DICOM modality to read; CT, or what there is.
    rescale: (slope, intercept) that turn the values read into HU, where the file does not say so itself.
    hu_guard: "refuse", "warn" or "off".
    """

    spacing: Any
    affine: Any
    orientation: str | None
    series: Any
    modality: str | None
    rescale: Any
    hu_guard: str | None


class Med3DR1ImageProcessor(BaseImageProcessor):
    """Turns CT scans into `pixel_values`, float32 (N, 1, D, H, W), canonical orientation (D, H, W) = feet to head,
    front to back, right to left; and encoded scans into `pixel_values` (N, L, C).

    Args:
        spacing: target millimetres along (D, H, W).
        field_size: voxels to which the resampled scan is cropped or padded about its centre.
        size: voxels that the model sees, the middle of the field.
        window: (HU, value) knots of a piecewise linear map, constant outside of them.
        mean, std: (value - mean) / std is what the model gets.
        antialias: whether shrinking averages over all voxels; `False` is the release's plain linear interpolation.
        margin: voxels that `prepare` keeps beyond `size` at each side, room for random crops in training.
        hu_guard: what to do with numbers that cannot be HU: "refuse", "warn" or "off".
        max_bytes: voxel bytes that a scan may claim.

    Raises:
        ValueError: a setting contradicts itself or another.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012 (transformers' own form)
    valid_kwargs = Med3DR1ImagesKwargs

    def __init__(
        self,
        spacing: Sequence[float] = (3.0, 1.5, 1.5),
        field_size: Sequence[int] = (128, 256, 256),
        size: Sequence[int] = (112, 224, 224),
        window: Sequence[Sequence[float]] = ((-1000.0, -1.0), (1000.0, 1.0)),
        mean: float = 0.4978,
        std: float = 0.2449,
        antialias: bool = True,
        margin: Sequence[int] = (0, 0, 0),
        hu_guard: str = "refuse",
        max_bytes: int = DEFAULT_MAX_BYTES,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.spacing = _triple("spacing", spacing, float, "positive millimetres", lambda value: 0 < value < math.inf)
        self.field_size = _triple("field_size", field_size, int, "positive voxel counts", lambda count: count > 0)
        self.size = _triple("size", size, int, "positive voxel counts", lambda count: count > 0)
        self.margin = _triple("margin", margin, int, "voxel counts", lambda count: count >= 0)
        for axis, *counts in zip("DHW", self.size, self.margin, self.field_size, strict=True):
            size_of, margin_of, field_of = counts
            if size_of + 2 * margin_of > field_of:
                raise ValueError(
                    f"along {axis} the model would see {size_of} voxels and a margin of {margin_of} on each side, "
                    f"more than field_size {field_of}"
                )
        self.window = tuple((float(hu), float(value)) for hu, value in window)
        if len(self.window) < 2 or any(low[0] >= high[0] for low, high in pairwise(self.window)):
            raise ValueError(f"window needs two or more (HU, value) knots with growing HU; got {self.window}")
        if not std > 0:
            raise ValueError(f"std must be above 0; got {std}")
        self.mean, self.std = float(mean), float(std)
        self.antialias = bool(antialias)
        self.hu_guard = _guard_mode(hu_guard)
        self.max_bytes = int(max_bytes)

    @classmethod
    def from_dict(cls, image_processor_dict: dict[str, Any], **kwargs):
        """As in transformers; settings among `kwargs` replace those of the dictionary and are checked like them."""
        settings = {key: kwargs.pop(key) for key in tuple(kwargs) if key in cls.__init__.__annotations__}
        return super().from_dict({**image_processor_dict, **settings}, **kwargs)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """The settings that decide the voxels of a prepared volume, as they stand in its record."""
        return {
            "version": PREPROCESSING_VERSION,
            "spacing": list(self.spacing),
            "field_size": list(self.field_size),
            "size": list(self.size),
            "margin": list(self.margin),
            "antialias": self.antialias,
        }

    @property
    def tensor_preprocessing(self) -> dict[str, Any]:
        """The settings that decide the model's tensor, as they stand in the record of an encoded scan."""
        window = [list(knot) for knot in self.window]
        return {**self.preprocessing, "window": window, "mean": self.mean, "std": self.std}

    def fetch_images(self, image_url_or_urls: Any) -> Any:
        """Leave scans as they are: they are opened one by one in `preprocess`, and not as pictures."""
        return image_url_or_urls

    def preprocess(
        self,
        images: Any,
        return_tensors: str | None = None,
        *,
        spacing: Sequence[float] | None = None,
        affine: np.ndarray | None = None,
        orientation: str | None = None,
        series: Any = None,
        modality: str | None = None,
        rescale: Sequence[float] | None = None,
        hu_guard: str | None = None,
    ) -> BatchFeature:
        """Scans to model input.

        Args:
            images: one scan or a list of them, each whatever `prepare` takes; or all of them encoded, each the path of
                a .safetensors or a torch tensor (L, C). Lists in the list are flattened (one list a prompt), except
                for a list of files without the suffix of a volume: the slices of one.
            return_tensors: "pt" or "np" for one array; else a list of tensors.
            spacing, affine, orientation, series, modality, rescale, hu_guard: as in `prepare`, for all scans.

        Returns:
            `pixel_values`: float32 (N, 1, D, H, W), or N of (1, D, H, W). Of encoded scans (N, L, C), or N of (L, C),
            in their own dtype (float32 for "np", as numpy has no bfloat16).

        Raises:
            VolumeError: a scan was refused, or it was encoded with other settings.
            ValueError: there are no scans, or some are encoded and others are not.
        """
        sources = list(_flat(images))
        if not sources:
            raise ValueError("images holds no scan")
        options = {
            "spacing": spacing, "affine": affine, "orientation": orientation, "series": series, "modality": modality,
            "rescale": rescale, "hu_guard": hu_guard,
        }  # fmt: skip
        if any(map(is_encoded, sources)):
            scans = self._encoded(sources, options)
            scans = [scan.float() for scan in scans] if return_tensors == "np" else scans
        else:
            scans = [self.to_tensor(self.prepare(source, **options)) for source in sources]
        # One scan needs no copy to become a batch.
        pixel_values = scans if return_tensors is None else torch.stack(scans) if scans[1:] else scans[0][None]
        return BatchFeature({"pixel_values": pixel_values}, tensor_type=return_tensors)

    def _encoded(self, sources: Sequence[Any], options: dict[str, Any]) -> list[torch.Tensor]:
        """The tokens (L, C) of encoded scans. Whether the model takes so many is for the model to say."""
        strangers = [source for source in sources if not is_encoded(source)]
        if strangers:
            raise ValueError(
                f"the scans of a call are all encoded (.safetensors, or tensors (L, C)) or none is: {len(strangers)} "
                f"of {len(sources)} are not, the first a {type(strangers[0]).__name__}. Encode them too, or pass all "
                "as scans"
            )
        if told := [name for name, value in options.items() if value is not None]:
            raise ValueError(f"{', '.join(told)} say how to read a scan, and an encoded one is not read any more")
        return [source if isinstance(source, torch.Tensor) else self._load_encoded(source) for source in sources]

    def _load_encoded(self, path: str | PathLike[str]) -> torch.Tensor:
        """Refuse what was encoded from other tensors than this processor makes."""
        features, record = open_encoded(path)
        if record.get("preprocessing") != self.tensor_preprocessing:
            raise VolumeError(
                Path(path).name,
                f"an encoded scan must have been made with this processor's settings, {self.tensor_preprocessing}",
                f"{record.get('preprocessing')}",
                "Encode the scan again with this processor.",
            )
        return features

    def prepare(
        self,
        source: Any,
        *,
        spacing: Sequence[float] | None = None,
        affine: np.ndarray | None = None,
        orientation: str | None = None,
        series: Any = None,
        modality: str | None = None,
        rescale: Sequence[float] | None = None,
        hu_guard: str | None = None,
    ) -> PreparedVolume:
        """Bring a scan onto the model's grid, with `margin` voxels more at each side.

        Args:
            source: whatever `open_volume` takes: a path, a list of slice files, an array (D, H, W) with `spacing`,
                an image, a mapping, a CTVolume or a PreparedVolume, which is checked and returned.
            spacing, affine, orientation, series, modality: see `open_volume`.
            rescale: (slope, intercept), applied to the values as they were read.
            hu_guard: replaces the processor's setting.

        Raises:
            VolumeError: the scan was refused; the message says why and what to do.
            ValueError: `rescale` or `hu_guard` is not what it should be.
        """
        guard = _guard_mode(self.hu_guard if hu_guard is None else hu_guard)
        if rescale is not None and not (len(rescale) == 2 and np.isfinite(rescale).all() and rescale[0]):
            raise ValueError(f"rescale is (slope, intercept), numbers with a slope other than 0; got {rescale}")
        _refuse_model_input(source)
        volume = open_volume(
            source, spacing=spacing, affine=affine, orientation=orientation, series=series, modality=modality,
            max_bytes=self.max_bytes,
        )  # fmt: skip
        if hasattr(volume, "hu"):  # not by class: code from the Hub and the installed package have one each
            if rescale is not None:
                raise ValueError(f"{volume.name} is prepared already; give rescale when preparing it from the scan")
            self._require_own(volume)
            return volume
        grid = ModelGrid(self.spacing, self.field_size, self.size, self.margin, self.antialias)
        pose = Pose.of(volume.name, volume.shape, volume.affine)
        statistics = VoxelStatistics(volume.shape)
        placement = place(statistics.watch(_rescaled(volume.blocks(), rescale)), pose, grid)
        doubts = [*_guarded(volume.name, statistics, guard), *_coverage(pose, placement, grid)]
        for doubt in doubts:
            warnings.warn(f"{volume.name}: {doubt}", VolumeWarning, stacklevel=2)
        record = _record(volume, pose, statistics, placement)
        if rescale is not None:
            record["notes"].append(f"values were rescaled: {rescale[0]:g} x value + {rescale[1]:g}")
        record.update(warnings=doubts, preprocessing=self.preprocessing)
        return PreparedVolume(placement.hu, placement.affine, record)

    def to_tensor(self, prepared: PreparedVolume, shift: Sequence[int] = (0, 0, 0)) -> torch.Tensor:
        """Window and normalise: float32 (1, D, H, W).

        Args:
            prepared: made with this processor's settings.
            shift: voxels along (D, H, W) by which to move the crop off the centre, at most `margin`.

        Raises:
            VolumeError: the volume was prepared otherwise.
            ValueError: the shift is beyond the margin.
        """
        self._require_own(prepared)
        if any(abs(step) > margin for step, margin in zip(shift, self.margin, strict=True)):
            raise ValueError(f"a shift of {tuple(shift)} voxels is beyond the margin {self.margin}")
        starts = [margin + step for margin, step in zip(self.margin, shift, strict=True)]
        seen = prepared.hu[tuple(slice(a, a + length) for a, length in zip(starts, self.size, strict=True))]
        table = _lookup_table(self.window, self.mean, self.std)
        tensor = np.empty((1, *self.size), dtype=np.float32)
        for plane, slice_hu in zip(tensor[0], seen.view(np.uint16), strict=True):
            np.take(table, slice_hu, out=plane, mode="clip")  # nothing lies outside; "raise" would copy `out` twice
        return torch.from_numpy(tensor)

    def _require_own(self, prepared: PreparedVolume) -> None:
        """Refuse a prepared volume on another grid: the model would not notice, and answer."""
        found, own = prepared.record.get("preprocessing"), self.preprocessing
        shape = tuple(size + 2 * margin for size, margin in zip(self.size, self.margin, strict=True))
        if found != own or prepared.hu.shape != shape:
            raise VolumeError(
                prepared.name,
                f"a prepared volume must have been made with this processor's settings, {own}",
                f"{found} and a shape of {prepared.hu.shape}",
                "Prepare the scan again with this processor.",
            )


def _triple(name: str, values: Sequence, kind: type, words: str, allowed) -> tuple:
    """Settings come back from JSON as lists; keep them as tuples."""
    triple = tuple(kind(value) for value in values)
    if len(triple) != 3 or triple != tuple(values) or not all(map(allowed, triple)):
        raise ValueError(f"{name} needs three {words}, along (D, H, W); got {values}")
    return triple


def _guard_mode(mode: str) -> str:
    if mode not in GUARD_MODES:
        raise ValueError(f"hu_guard is one of {', '.join(GUARD_MODES)}; got {mode!r}")
    return mode


def _flat(images: Any) -> Iterator[Any]:
    """The scans of a call, one by one."""
    if not isinstance(images, list | tuple):
        yield images
        return
    for entry in images:
        if isinstance(entry, list | tuple) and not _are_slices(entry):
            yield from _flat(entry)
        else:
            yield entry


def _are_slices(entries: Sequence[Any]) -> bool:
    """Whether all are files, and none of a kind that holds a whole volume."""
    return bool(entries) and all(
        isinstance(entry, str | PathLike)
        and not str(entry).lower().endswith((*VOLUME_SUFFIXES, ENCODED_SUFFIX))
        and not Path(entry).is_dir()
        for entry in entries
    )


@lru_cache(maxsize=8)
def _lookup_table(window: tuple[tuple[float, float], ...], mean: float, std: float) -> np.ndarray:
    """float32 (65536,): the bits of an int16 HU -> what the model gets. Making it takes longer than a small scan."""
    hu, value = np.array(window).T
    table = ((np.interp(_INT16_BY_BITS, hu, value) - mean) / std).astype(np.float32)
    table.setflags(write=False)
    return table


def _refuse_model_input(source: Any) -> None:
    if is_encoded(source):
        raise VolumeError(
            Path(source).name if isinstance(source, str | PathLike) else f"tensor {tuple(source.shape)}",
            "voxels are prepared, from a scan",
            "a scan that is encoded already",
            "Give the scan itself; or for a single slice as a tensor, give it as (1, H, W).",
        )
    shape = getattr(source, "shape", ())
    if len(shape) == 5:
        raise VolumeError(
            f"array {tuple(shape)}",
            "images are scans in HU, arrays of them (D, H, W)",
            "five axes, as pixel_values (N, 1, D, H, W) have them",
            "Pass ready-made pixel_values to the model itself, and scans one by one.",
        )


def _rescaled(blocks: Iterator[np.ndarray], rescale: Sequence[float] | None) -> Iterator[np.ndarray]:
    if rescale is None:
        return blocks
    slope, intercept = (np.float32(number) for number in rescale)
    return (block.astype(np.float32) * slope + intercept for block in blocks)


def _guarded(name: str, statistics: VoxelStatistics, mode: str) -> list[str]:
    """Let the HU guard look at a scan; what it only warns of comes back."""
    finding = None if mode == "off" else examine(statistics.samples, statistics.lowest, statistics.highest)
    if finding is None:
        return []
    if finding.refuse and mode == "refuse":
        raise VolumeError(name, finding.rule, finding.found, finding.remedy)
    return [f"{finding.rule}; found {finding.found}. {finding.remedy}"]


def _coverage(pose: Pose, placement: Placement, grid: ModelGrid) -> list[str]:
    """What a person should know about the scan's extent; the rules stand at the top of this file."""
    slices, depth = pose.shape[0], pose.shape[0] * pose.spacing[0]
    widest = max(pose.shape[1] * pose.spacing[1], pose.shape[2] * pose.spacing[2])
    seen = grid.size[0] * placement.spacing[0]
    filled = [
        min(axis.inside.stop, margin + size) - max(axis.inside.start, margin)
        for axis, margin, size in zip(placement.axes, grid.margin, grid.size, strict=True)
    ]
    share = math.prod(filled) / math.prod(grid.size)
    sentences = []
    if slices < FEW_SLICES:
        sentences.append(f"{slices} axial slice{'s' * (slices > 1)}, {depth:.0f} mm; the model knows whole chests.")
    elif share < SMALL_SHARE:
        sentences.append(f"the scan fills {share:.0%} of what the model sees, the rest is air.")
    if max(pose.spacing) > THICK_MM:
        sentences.append(f"voxels are up to {max(pose.spacing):.1f} mm apart; what is smaller is not in the scan.")
    if widest > WIDE_MM:
        sentences.append(f"the scan is {widest:.0f} mm wide; check the unit of its spacing, which is taken as mm.")
    if depth > LONG_RATIO * seen:
        sentences.append(f"the scan is {depth:.0f} mm long, the model sees the middle {seen:.0f} mm; crop the chest.")
    return sentences


def _record(volume: CTVolume, pose: Pose, statistics: VoxelStatistics, placement: Placement) -> dict[str, Any]:
    """What was found and done, in JSON values."""
    cropped, padded = {}, {}
    for axis, step, sides in zip(placement.axes, placement.spacing, SIDES, strict=True):
        for side, voxels in zip(sides, axis.overhang, strict=True):
            cropped[side], padded[side] = max(voxels, 0) * step, max(-voxels, 0) * step
    turned = [f"turned by {pose.tilt:.1f} degrees onto the body's axes"] if pose.oblique else []
    return {
        "source": volume.name,
        "headers": dict(volume.headers),
        "source_shape": list(volume.shape),
        "source_spacing": list(volume.spacing),
        "source_orientation": orientation_codes(volume.affine),
        "tilt_degrees": pose.tilt,
        "hu_min": statistics.lowest,
        "hu_max": statistics.highest,
        "spacing": list(placement.spacing),
        "resampling": list(placement.resampling),
        "cropped_mm": cropped,
        "padded_mm": padded,
        "notes": [*volume.notes, *turned],
    }


Med3DR1ImageProcessor.register_for_auto_class()

__all__ = ["PREPROCESSING_VERSION", "VOLUME_SUFFIXES", "Med3DR1ImageProcessor", "Med3DR1ImagesKwargs"]
