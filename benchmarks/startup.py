"""How long `import med3d_r1` and `med3d-r1 --help` take, beside the bare interpreter.

    python benchmarks/startup.py [--repeat 10]

Prints a table and a JSON line: medians and minima of wall-clock seconds, each in a process of its own. The goals
are 0.05 s for the import above the bare interpreter, and 0.5 s for the whole of `--help`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python": [sys.executable, "-c", "pass"],
    "import med3d_r1": [sys.executable, "-c", "import med3d_r1"],
    "med3d-r1 --help": [sys.executable, "-m", "med3d_r1.cli", "--help"],
}


def seconds(command: list[str], repeat: int) -> list[float]:
    """Wall-clock time of each of `repeat` runs, after one that warms the caches."""
    times = []
    for _ in range(repeat + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=10)
    repeat = parser.parse_args().repeat

    results = {}
    print(f"{'command':<18} {'median s':>9} {'minimum s':>10}")
    for name, command in COMMANDS.items():
        times = seconds(command, repeat)
        results[name] = {"median_s": round(statistics.median(times), 4), "min_s": round(min(times), 4)}
        print(f"{name:<18} {results[name]['median_s']:>9.3f} {results[name]['min_s']:>10.3f}")
    print(json.dumps({"benchmark": "startup", "repeat": repeat, "python": sys.version.split()[0], **results}))


if __name__ == "__main__":
    main()
