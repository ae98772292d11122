"""`python -m benchmarks.footprint`: what the serving environment takes on the disk, and how soon a start is ready.

Installs `.[cpu]` alone into a fresh environment and starts its `plurality serve` on the benchmark's store: first
without a profile, then with the cached one. Writes docs/results/footprint.md.
"""

import argparse
import shutil
import statistics
import subprocess
import venv

from benchmarks.environments import installed_megabytes
from benchmarks.processes import resident_megabytes, serving
from benchmarks.report import machine, spread
from benchmarks.workload import add_options, make_workload


def main() -> None:
    """Parse, install, start, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    add_options(parser)
    options = parser.parse_args()
    store = make_workload(options.work, checkpoint=options.checkpoint).store
    folder = options.work.absolute() / "environments" / "service"
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt", ".[cpu]"]
    subprocess.run(command, check=True)  # noqa: S603 - our own distribution
    subprocess.run([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", "pip"], check=True)  # noqa: S603
    shutil.rmtree(options.work / "cache" / "profiles", ignore_errors=True)
    starts, memory = [], []
    for _ in range(options.starts + 1):
        with serving(store, options.work, python=python) as service:
            starts.append(service.start_seconds)
            memory.append(resident_megabytes(service.pid))
    text = "\n".join([
        "# Footprint\n",
        f"Made by `python -m benchmarks.footprint --starts {options.starts}`. {machine()} "
        "An environment with `.[cpu]` alone serves one MiniLM in fp32 and int8.\n",
        "| | |",
        "|---|---|",
        f"| installed, MB (target <= 350) | {installed_megabytes(python):.0f} |",
        f"| ready after, cached profiles, s (target <= 3) | {spread(starts[1:], 2)} |",
        f"| ready after, first start (both versions are profiled), s | {starts[0]:.2f} |",
        f"| resident, both versions, MB | {statistics.median(memory):.0f} |",
        "",
    ])  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "footprint.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
