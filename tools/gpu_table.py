"""Tables of the JSON lines that tools/gpu_bench.cc, tools/gpu_all_reduce.cc and bench/nccl_all_reduce.py leave.

    python3 tools/gpu_table.py RESULTS.jsonl
"""
import json
import sys


def table(rows: list[list[str]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))
    print()


def main() -> int:
    records = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
    for kind, title in (("all_reduce", "sums over"), ("expert_exchange", "rows to experts and back over")):
        sums = [r for r in records if r["kind"] == kind]
        if not sums:
            continue
        forms = list(dict.fromkeys(r["form"] for r in sums))
        found = {(r["rows"], r["form"]): f'{r["us"]:.1f}' for r in sums}
        print(f'{title} {sums[0]["ranks"]} ranks, us, {sums[0]["gpu"]}, hidden {sums[0]["hidden"]}')
        table([["rows", *forms]] + [[str(n), *(found.get((n, form), "") for form in forms)] for n in sorted({r["rows"] for r in sums})])
    steps = [r for r in records if r["kind"] == "cuda_step"]
    for key in dict.fromkeys((r["gpu"], r["layout"], r["layers"], r["arithmetic"]) for r in steps):
        print(", ".join(str(part) for part in key[:2]) + f", {key[2]} layers, {key[3]}")
        rows = [["sequences", "context", "rows", "graphs", "experts", "ms a layer", "ms layers", "ms step"]]
        for r in steps:
            if (r["gpu"], r["layout"], r["layers"], r["arithmetic"]) == key:
                rows.append([str(r["batch"]), str(r["context"]), str(r["rows"]), r["graphs"], str(r.get("distinct_experts", "")),
                             f'{r["ms_a_layer"]:.3f}', f'{r["ms_layers"]:.2f}', f'{r["ms_step"]:.2f}'])
        table(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
