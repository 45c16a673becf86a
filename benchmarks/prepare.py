"""How fast a volume store is filled, by one process and by several.

    python benchmarks/prepare.py [--preset full|tiny] [--workers 1 2] [--rounds 5]

A synthetic chest is written to a temporary folder under many names. Each number of workers fills a new store with all
of them, in turns, after a first round that is not counted: processes are then there quickly, as in a run of many hours.
Prints a table and a JSON line. Rates are from medians, ratios are medians of the rounds' own ratios.

Goal: two workers at 1.8 times the rate of one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from _report import machine, median_ratio, print_line, print_table, times_in_turns

from med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.phantom.files import save_nifti
from med3d_r1.data.prepare import prepare_scans
from med3d_r1.data.scans import Scan, Volume


@dataclass(frozen=True)
class Preset:
    """What is measured: voxels of a scan, how many scans a store takes, and whose grid they come to."""

    shape: tuple[int, int, int]
    scans: int
    grid: str


PRESETS = {"full": Preset((300, 512, 512), 24, "3b"), "tiny": Preset((32, 72, 72), 400, "tiny")}


def write_scans(folder: Path, preset: Preset, count: int) -> list[Scan]:
    """So many scans that share the bytes of one file."""
    first = folder / "chest_0.nii.gz"
    save_nifti(make_phantom(0, preset.shape), first)
    for number in range(1, count):
        os.link(first, folder / f"chest_{number}.nii.gz")
    volumes = [Volume(path.name, path) for path in sorted(folder.glob("chest_*.nii.gz"))]
    return [Scan("synthetic", "train", volume.name, volume.name, (volume,)) for volume in volumes]


def measure(preset: Preset, count: int, workers: list[int], rounds: int) -> dict[int, list[float]]:
    """Number of workers -> seconds of each round."""
    image_processor = Med3DR1ImageProcessor(**IMAGE_PROCESSORS[preset.grid])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = write_scans(folder, preset, count)

        def fill(processes: int) -> None:
            shutil.rmtree(folder / "store", ignore_errors=True)
            summary = prepare_scans(scans, folder / "store", image_processor, workers=processes)
            if summary.made != count:
                raise RuntimeError(f"{summary.made} of {count} scans were prepared")

        return times_in_turns({number: lambda number=number: fill(number) for number in workers}, rounds)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="0: in this process")
    parser.add_argument("--scans", type=int, metavar="N", help="how many scans a store takes")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    preset = PRESETS[options.preset]
    count = options.scans or preset.scans

    times = measure(preset, count, options.workers, options.rounds)
    first = options.workers[0]
    rows = {
        number: {
            "scans_per_s": count / statistics.median(seconds),
            "ms_per_scan": 1000 * statistics.median(seconds) / count,
            "ratio": median_ratio(times[first], seconds),
        }
        for number, seconds in times.items()
    }
    print_table(
        ["workers", "scans a second", "ms a scan", f"rate beside {first}"],
        [[n, f"{r['scans_per_s']:.2f}", f"{r['ms_per_scan']:.1f}", f"{r['ratio']:.2f}"] for n, r in rows.items()],
    )
    print_line(
        "prepare", machine=machine(1), preset=options.preset, shape=preset.shape, scans=count, rounds=options.rounds,
        workers=rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
