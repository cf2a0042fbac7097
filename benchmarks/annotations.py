"""One table of what annotations cost at 1,000, 100,000 and 1,000,000 points, against plain napari and loops.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/annotations.py [--repeats 3] --out annotations.json

Runs `oriented_picks.py` and `contact_sheet.py` in new processes, each as often as said; takes medians, writes them as
JSON, and prints a table. Loops over crops that would take hours are measured with 1,000 points and multiplied by the
number of points.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from arguments import how_often

HERE = Path(__file__).resolve().parent
Numbers = dict[str, float]


def in_process(script: str, *arguments: str) -> Any:
    """What a benchmark writes as JSON, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name, "out.json")
        command = [sys.executable, str(HERE / script), *arguments, str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.loads(out.read_text())


def drawing(count: int) -> Numbers:
    """Oriented picks that are added, stepped through and edited."""
    ours, plain = in_process("oriented_picks.py", "--counts", str(count), "--json")
    names = ("add_s", "step_median_s", "step_worst_s", "delete_one_s")
    return {f"{name} {who}": row[name] for who, row in (("ours", ours), ("plain", plain)) for name in names}


def judging(count: int) -> Numbers:
    """The contact sheet, and a loop over crops."""
    (row,) = in_process("contact_sheet.py", "--picks", str(count), "--out")
    stalls = {f"{name}_stall_s": row[f"{name}_stall_ms"] / 1000 for name in ("scroll", "judge")}
    names = ("first_screen_s", "far_screen_s", "loop_first_screen_s", "loop_all_s")
    return stalls | {name: row[name] for name in names}


#: What stands in the table: the name of a row, and how ours and the other's seconds are called, if there is another.
ROWS = (
    ("add oriented picks, until they are drawn", "add_s ours", "add_s plain"),
    ("step to another plane, until it is drawn", "step_median_s ours", "step_median_s plain"),
    ("delete one pick, until it is gone", "delete_one_s ours", "delete_one_s plain"),
    ("contact sheet: open it, all crops on screen", "first_screen_s", "loop_first_screen_s"),
    ("contact sheet: jump to the last picks", "far_screen_s", "loop_all_s"),
    ("contact sheet: longest stall while scrolling", "scroll_stall_s", ""),
    ("contact sheet: longest stall while judging by keys", "judge_stall_s", ""),
)


def in_words(seconds: float) -> str:
    """Two digits, in the unit that fits."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def table(results: dict[int, Numbers]) -> str:
    """The results in Markdown: ours, then the other's."""
    lines = ["| |" + "".join(f" {count:,} |" for count in results), "|---|" + "---|" * len(results)]
    for name, ours, other in ROWS:
        beside = {count: f" / {in_words(found[other])}" if other else "" for count, found in results.items()}
        cells = (f" **{in_words(found[ours])}**{beside[count]} |" for count, found in results.items())
        lines.append(f"| {name} |" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=how_often, default=3)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    results: dict[int, Numbers] = {}
    for count in given.counts:
        runs = []
        for _ in range(given.repeats):
            runs.append(drawing(count) | judging(count))
            print(count, runs[-1], file=sys.stderr, flush=True)
        results[count] = {name: round(median(run[name] for run in runs), 4) for name in runs[0]}
    about = {"cpus": os.cpu_count(), "repeats": given.repeats}
    print(json.dumps(about | {"results": results}, indent=1))
    if given.out is not None:
        given.out.write_text(json.dumps(about | {"results": results}, indent=1) + "\n")
    print(table(results), file=sys.stderr)


if __name__ == "__main__":
    main()
