#!/usr/bin/env python3
"""Sums the CSV logs of `ncu --metrics gpu__time_duration.sum,dram__bytes_read.sum` by kernel.

    python3 tools/gpu_profile.py profile_10,2560,1.log ...

The second half of the launches is counted: the first step is a warm-up. Times are those of single launches with flushed
caches and ncu's clocks: shares, not speeds.
"""
import csv
import re
import sys
from collections import defaultdict

SCALE = {"ns": 1e-3, "nsecond": 1e-3, "us": 1, "usecond": 1, "ms": 1e3, "msecond": 1e3,
         "byte": 1e-6, "Kbyte": 1e-3, "Mbyte": 1, "Gbyte": 1e3}


def rows_of(path: str) -> list[dict[str, str]]:
    lines = [line for line in open(path, encoding="utf-8", errors="replace") if line.startswith('"')]
    return list(csv.DictReader(lines))


def main() -> None:
    for path in sys.argv[1:]:
        rows = rows_of(path)
        if not rows:
            print(f"{path}: no launches")
            continue
        half = (max(int(row["ID"]) for row in rows) + 1) // 2
        sums: dict[str, list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
        for row in rows:
            if int(row["ID"]) < half:
                continue
            name = re.sub(r"\(.*", "", row["Kernel Name"]).split("::")[-1] + " grid " + row.get("Grid Size", "")
            value = float(row["Metric Value"].replace(",", "")) * SCALE.get(row["Metric Unit"], float("nan"))
            if "time" in row["Metric Name"]:
                sums[name][0] += 1
                sums[name][1] += value
            else:
                sums[name][2] += value
        total = sum(entry[1] for entry in sums.values())
        print(f"{path.split('/')[-1]}: {total:.0f} us in {sum(entry[0] for entry in sums.values()):.0f} launches")
        for name, (count, us, mb) in sorted(sums.items(), key=lambda item: -item[1][1])[:16]:
            print(f"  {us:9.1f} us {count:4.0f}x {mb:9.1f} MB {mb / us / 1e0 if us else 0:6.3f} TB/s  {name}")


if __name__ == "__main__":
    main()
