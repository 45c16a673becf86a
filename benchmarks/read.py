"""From a .nii.gz on disk to the model's tensor: seconds and memory, beside inflating alone and beside other paths.

    python benchmarks/read.py [--repeat 5] [--threads N]

A synthetic chest of 300 x 512 x 512 int16 voxels is written to a temporary folder. Each path runs in a process of its
own that inflates the file with isal and then reads it, in turns, so that both see the same machine. Prints a table and
a JSON line. Times are minima and medians; memory is the peak of the process, beside what its imports take alone.

Goals: at most 1.5 x the time of inflating (minima), and a peak of at most 3 x the bytes of the voxels.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SHAPE = (300, 512, 512)
VOXEL_MB = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2] / 1e6
TARGET_MM, FIELD, SIZE = (3.0, 1.5, 1.5), (128, 256, 256), (112, 224, 224)


def med3d_r1() -> Callable[[str], object]:
    """This project: anti-aliased, oriented, cropped before resampling."""
    from med3d_r1 import Med3DR1ImageProcessor

    processor = Med3DR1ImageProcessor()
    return lambda path: processor(images=path, return_tensors="pt")["pixel_values"]


def nibabel_float64() -> Callable[[str], object]:
    """The usual script: the whole volume in float64, trilinear interpolation of all of it, then the crop."""
    import nibabel
    import torch

    def read(path: str):
        image = nibabel.load(path)
        volume = torch.from_numpy(image.get_fdata().transpose(2, 1, 0))[None, None]
        spacing = image.header.get_zooms()[::-1]
        size = [round(n * mm / target) for n, mm, target in zip(volume.shape[2:], spacing, TARGET_MM, strict=True)]
        volume = torch.nn.functional.interpolate(volume, size=size, mode="trilinear")[0, 0]
        return _windowed(_cropped(volume.float()))

    return read


def simpleitk() -> Callable[[str], object]:
    """SimpleITK's reader and its linear resampling straight onto the crop."""
    import SimpleITK
    import torch

    def read(path: str):
        image = SimpleITK.ReadImage(path)
        spacing, size = TARGET_MM[::-1], SIZE[::-1]
        centre = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
        reach = [(n - 1) / 2 * mm for n, mm in zip(size, spacing, strict=True)]
        rows = image.GetDirection()[:3], image.GetDirection()[3:6], image.GetDirection()[6:]
        origin = [c - sum(r * d for r, d in zip(reach, row, strict=True)) for c, row in zip(centre, rows, strict=True)]
        resampled = SimpleITK.Resample(
            image, size, SimpleITK.Transform(), SimpleITK.sitkLinear, origin, spacing, image.GetDirection(), -1024.0,
            SimpleITK.sitkFloat32,
        )  # fmt: skip
        return _windowed(torch.from_numpy(SimpleITK.GetArrayFromImage(resampled)))

    return read


PATHS = {"med3d-r1": med3d_r1, "nibabel float64 + trilinear": nibabel_float64, "SimpleITK linear": simpleitk}


def _cropped(volume):
    """Centre crop or pad to FIELD, then to SIZE."""
    import torch

    for axis, (field, size) in enumerate(zip(FIELD, SIZE, strict=True)):
        missing = max(0, field - volume.shape[axis])
        pads = [0] * 6
        pads[4 - 2 * axis], pads[5 - 2 * axis] = missing // 2, missing - missing // 2
        volume = torch.nn.functional.pad(volume, pads, value=-1024.0)
        start = -(-(volume.shape[axis] - field) // 2) + (field - size) // 2
        volume = volume.narrow(axis, start, size)
    return volume


def _windowed(volume):
    return ((volume.clamp(-1000, 1000) / 1000 - 0.4978) / 0.2449)[None, None].contiguous()


def inflate(path: str) -> None:
    """What no reader can do without."""
    from isal import igzip

    buffer = bytearray(4 << 20)
    with igzip.open(path, "rb") as stream:
        while stream.readinto(buffer):
            pass


def measure(path_name: str, file: str, repeat: int) -> dict:
    """In this process: how long inflating and reading take, and how much memory."""
    read = PATHS[path_name]()
    imported = _peak_mb()
    times: dict[str, list[float]] = {"inflate": [], "read": []}
    for _ in range(repeat):
        for name, work in (("inflate", inflate), ("read", read)):
            start = time.perf_counter()
            work(file)
            times[name].append(time.perf_counter() - start)
    return {
        "read_s": min(times["read"]),
        "read_median_s": statistics.median(times["read"]),
        "inflate_s": min(times["inflate"]),
        "ratio": min(times["read"]) / min(times["inflate"]),
        "imports_mb": imported,
        "peak_mb": _peak_mb(),
        "peak_ratio": _peak_mb() / VOXEL_MB,
    }


def _peak_mb() -> float:
    """The most memory this process ever held, or the one that started it, which therefore stays small."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def write(file: str) -> None:
    """The scan that is read."""
    from med3d_r1.data.phantom import make_phantom
    from med3d_r1.data.phantom.files import save_nifti

    save_nifti(make_phantom(0, SHAPE), file)


def in_own_process(*arguments: str, threads: int) -> str | None:
    """What this script prints when called with these arguments; None where it fails."""
    run = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    return run.stdout if run.returncode == 0 else None


def _processor() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--write", metavar="FILE", help="only write the scan")
    parser.add_argument("--measure", nargs=2, metavar=("PATH", "FILE"), help="only measure one path, in this process")
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return
    if options.measure:
        print(json.dumps(measure(*options.measure, options.repeat)))
        return

    results = {}
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "chest.nii.gz")
        in_own_process("--write", file, threads=options.threads)
        packed_mb = os.path.getsize(file) / 1e6
        for name in PATHS:
            printed = in_own_process("--repeat", str(options.repeat), "--measure", name, file, threads=options.threads)
            results[name] = None if printed is None else json.loads(printed)

    print(f"{VOXEL_MB:.0f} MB of voxels, {packed_mb:.0f} MB on disk, {options.threads} threads on {_processor()}")
    print(f"{'path':<30}{'read s':>8}{'median':>8}{'inflate':>9}{'ratio':>7}{'peak MB':>9}{'imports':>9}{'ratio':>7}")
    for name, result in results.items():
        if result is None:
            print(f"{name:<30}{'failed or not installed':>30}")
            continue
        times = f"{result['read_s']:>8.3f}{result['read_median_s']:>8.3f}{result['inflate_s']:>9.3f}"
        memory = f"{result['peak_mb']:>9.0f}{result['imports_mb']:>9.0f}{result['peak_ratio']:>7.2f}"
        print(f"{name:<30}{times}{result['ratio']:>7.2f}{memory}")
    line = {"benchmark": "read", "voxel_mb": VOXEL_MB, "packed_mb": packed_mb, "threads": options.threads}
    print(json.dumps({**line, "paths": results}))


if __name__ == "__main__":
    main()
