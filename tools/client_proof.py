#!/usr/bin/env python3
"""What `minimax bench serve` adds to the times it measures, against a server whose times are known.

  python3 tools/client_proof.py --minimax build/cpu/minimax --server build/cpu/src/net/timed_server

The server (tools/timed_server.cc) notes for each request when it wrote its first and its last chunk, counted from the
request's last byte. What the client measured beyond that is the way there, the way back and the client itself: an upper
bound of what the client adds. Prints a row for each load; exits with 1 if a load loses a request.
"""
import argparse
import json
import signal
import subprocess
import tempfile
from pathlib import Path


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int((len(values) - 1) * share)]


def measure(args: argparse.Namespace, streams: int, rate: float) -> dict:
    with subprocess.Popen([args.server, "--first-us", str(args.first_us), "--gap-us", str(args.gap_us)],
                          stdout=subprocess.PIPE, text=True) as server, tempfile.TemporaryDirectory() as folder:
        port = server.stdout.readline().split()[1]
        subprocess.run(
            [args.minimax, "bench", "serve", "--backend", "openai", "--port", port, "--model", "timed",
             "--tokenizer", args.tokenizer, "--random-input-len", "16", "--random-output-len", str(args.tokens),
             "--num-prompts", str(streams), "--request-rate", str(rate), "--burstiness", "1000", "--request-id-prefix", "p",
             "--ready-check-timeout-sec", "0", "--save-result", "--save-detailed", "--result-dir", folder,
             "--result-filename", "out.json"], check=True, stdout=subprocess.DEVNULL)
        result = json.loads(Path(folder, "out.json").read_text())
        server.send_signal(signal.SIGTERM)
        truth = {int(n): (int(first), int(last)) for n, first, last in
                 (line.split() for line in server.stdout.read().splitlines())}
    firsts, ends, gaps = [], [], []
    for number, (ttft, itls) in enumerate(zip(result["ttfts"], result["itls"])):
        first, last = truth[number]
        firsts.append(ttft * 1e3 - first * 1e-3)
        ends.append((ttft + sum(itls)) * 1e3 - last * 1e-3)
        gaps.append((sum(itls) * 1e3 - (last - first) * 1e-3) / max(1, len(itls)))
    return {"streams": streams, "request_rate": str(rate), "alive_at_once": result["max_concurrent_requests"], "tokens": args.tokens,
            "first_us": args.first_us, "gap_us": args.gap_us, "completed": result["completed"], "failed": result["failed"],
            "chunks_per_s": round(result["output_throughput"]),
            "ttft_added_mean_ms": sum(firsts) / len(firsts), "ttft_added_p99_ms": percentile(firsts, 0.99),
            "e2el_added_mean_ms": sum(ends) / len(ends), "e2el_added_p99_ms": percentile(ends, 0.99),
            "tpot_added_mean_us": sum(gaps) / len(gaps) * 1e3,
            "client_cpu_share": result["client_cpu_share"], "client_late_p99_ms": result["client_late_p99_ms"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minimax", required=True)
    parser.add_argument("--server", required=True)
    parser.add_argument("--tokenizer", default="tiny")
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--first-us", type=int, default=200_000)
    parser.add_argument("--gap-us", type=int, default=25_000)
    parser.add_argument("--output-json", help="append the records, one JSON a line")
    args = parser.parse_args()
    lost = 0
    print(f"{'streams':>8} {'rate':>6} {'alive':>6} {'chunk/s':>8} {'TTFT + ms mean':>15} {'P99':>7} "
          f"{'E2EL + ms mean':>15} {'P99':>7} {'TPOT + us':>10} {'CPU':>6} {'late P99':>9}")
    for streams in args.streams:
        # All at once, and spread over four fifths of the time an answer takes, so that all are alive together.
        answer_s = (args.first_us + args.tokens * args.gap_us) * 1e-6
        for rate in (float("inf"), streams / (0.8 * answer_s)):
            record = measure(args, streams, rate)
            lost += record["streams"] - record["completed"]
            print(f"{streams:>8} {rate:>6.0f} {record['alive_at_once']:>6} {record['chunks_per_s']:>8} "
                  f"{record['ttft_added_mean_ms']:>15.3f} {record['ttft_added_p99_ms']:>7.3f} "
                  f"{record['e2el_added_mean_ms']:>15.3f} {record['e2el_added_p99_ms']:>7.3f} "
                  f"{record['tpot_added_mean_us']:>10.2f} {record['client_cpu_share']:>6.2f} "
                  f"{record['client_late_p99_ms']:>9.3f}", flush=True)
            if args.output_json:
                with open(args.output_json, "a", encoding="ascii") as out:
                    out.write(json.dumps(record) + "\n")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
