"""Frames a second of one training step, by row and threads; here and in another checkout.

    python tests/benchmarks/bench_train.py --data PREPARED [--against CHECKOUT] [--rows g ours …]
        [--threads 1 2] [--rounds 3] [--precision 32-true|bf16-mixed]

Each figure is the median step of a process of its own; the two checkouts take turns, so that what
else the machine does meets both. Attention has two phases with different work (rate under 1: the
identity face is encoded for every frame; rate 1: once a window): both are timed, and the whole
run's figure weighs them by the profile's schedule. Not a test: nothing is asserted.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
STEPS, WARM = 8, 2
# Runs in either checkout: settings of its own table of cells, its own step.
CHILD = """
import json, os, sys, time
from pathlib import Path
import torch
from amie_core import config, machine
from amie_core.training import checkpoint
from amie_core.training.method import launch_fabric, method_of
from amie_core.training.windows import Windows
asked = json.loads(sys.argv[1])
torch.set_num_threads(asked["threads"])
name = asked["name"]
method = name if name in config.METHODS else "amie"
row = "ours" if name in config.METHODS else name
changes = config.CELL_SCALE["grid"] | {"train.steps": 1000, "train.precision": asked["precision"]}
settings = config.resolve("grid", row, changes)
fabric = launch_fabric(settings, 1)
windows = Windows(Path(asked["data"]), settings, 0, resident_bytes=0, progress=False)
torch.manual_seed(0)
made = method_of(method)
networks = made.networks(settings)
networks.fit(windows)
checkpoint.channels_last(networks)
step = made.step(settings, networks, fabric, 0)
batches = [windows.batch(k) for k in range(4)]
final = settings.attention.final if settings.attention.enabled and method == "amie" else 1.0
frames, found = settings.train.batch * settings.train.unroll, {}
for phase, first in (("low", 300), ("one", 990)):
    times = []
    for k in range(asked["steps"]):
        begun = time.perf_counter()
        step(batches[k % 4], first + k % 10)
        times.append(time.perf_counter() - begun)
    times = sorted(times[asked["warm"]:])
    found[phase] = frames / times[len(times) // 2]
found["run"] = 1 / ((1 - final) / found["low"] + final / found["one"])
print(json.dumps(found))
"""


def timed(checkout: Path, **asked: object) -> dict[str, float]:
    """Frames a second at a low rate, at rate 1 and over the whole run, in a process of its own."""
    given = json.dumps(asked | {"steps": STEPS + WARM, "warm": WARM})
    threads = str(asked["threads"])
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": threads}
    command = [sys.executable, "-c", CHILD, given]
    done = subprocess.run(  # in the checkout: Python looks where it stands first
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description="Frames a second of one training step.")
    parser.add_argument("--data", required=True, type=Path, help="prepared clips")
    parser.add_argument("--against", type=Path, help="another checkout, timed in turn")
    parser.add_argument("--rows", nargs="+", default=["g", "ours"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="32-true")
    asked = parser.parse_args()
    trees = {"here": HERE} | ({"before": asked.against} if asked.against else {})
    print("| row | threads | " + " | ".join(f"{t}: rate < 1, rate 1, run" for t in trees), end="")
    print(" | times |" if asked.against else " |")
    print("|---|---|" + "---|" * (len(trees) + bool(asked.against)))
    for name in asked.rows:
        for threads in asked.threads:
            found: dict[str, list[dict[str, float]]] = {tree: [] for tree in trees}
            for _ in range(asked.rounds):
                for tree, folder in trees.items():
                    found[tree].append(
                        timed(folder, name=name, threads=threads, precision=asked.precision,
                              data=str(asked.data.resolve()))
                    )  # fmt: skip
            medians = {tree: {key: statistics.median(f[key] for f in of) for key in of[0]}
                       for tree, of in found.items()}  # fmt: skip
            cells = [" / ".join(f"{m[key]:.0f}" for key in ("low", "one", "run"))
                     for m in medians.values()]  # fmt: skip
            if asked.against:
                cells.append(f"×{medians['here']['run'] / medians['before']['run']:.2f}")
            print(f"| {name} | {threads} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
