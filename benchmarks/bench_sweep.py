"""The sweep: what a run costs besides itself, and how near two workers come to twice one.

Overhead: 1,000 runs of an experiment that does nothing, with their journal, beside bare ``client.map`` of a function
that does nothing on the same cluster. Throughput: runs of known processor time on two workers, beside the same calls
in one process after the other, and beside two such processes at once, which is all that the machine can give.
On paper: what 100,000 runs need, with the numbers measured here.
"""

import argparse
import json
import tempfile
import threading
import time
from pathlib import Path

RUNS, WORKS, SECONDS = 1000, 48, 0.4
CHAPTER = {
    "parameters": "SEED = 0",
    "run": """import torch
torch.set_num_threads(1)
a = torch.randn(192, 192, generator=torch.Generator().manual_seed(0))
def run(method, seed):
    for _ in range(seed if method == "work" else 0):
        a @ a
    return {"score": float(seed)}""",
    "experiment": 'from tutorial_lib.lab import compare\ntable = compare(run, ["nothing", "work"], [0])',
}


def noop(x):
    """What bare Dask runs."""
    return {"score": float(x)}


def plan_of(folder: Path):
    """Return the sweep of a chapter made for this measurement."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook

    from tutorial_lib.course.sweep.grid import Sweep, add_sweep

    cells = [
        new_code_cell(CHAPTER["parameters"], metadata={"tags": ["parameters"]}),
        new_code_cell(CHAPTER["run"]),
        new_code_cell(CHAPTER["experiment"]),
    ]
    (folder / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), folder / "notebooks" / "01_bench.ipynb")
    parser = argparse.ArgumentParser()
    add_sweep(parser)
    options = parser.parse_args(["01"])
    options.notebooks = folder / "notebooks"
    return Sweep(options)


def sweep_seconds(client, plan, points: list, threads: int, journal_file: Path) -> tuple[float, float]:
    """Run points with their journal on warm workers; return a run's wall time and this process's processor time."""
    from tutorial_lib.course.sweep.cluster import forget_everywhere, run_all
    from tutorial_lib.course.sweep.journal import Journal
    from tutorial_lib.course.sweep.program import Point

    job, warm = plan.job(threads=1), set()

    def until_warm():
        while len(warm) < threads:
            yield Point("own", 0, 0, 0, {})

    # The first runs load the chapter: on every worker, before the clock starts.
    for rows in run_all(client, job, until_warm(), threads=threads):
        warm |= {result["pid"] for _, result in rows or ()}
    start, used = time.perf_counter(), time.process_time()
    with Journal(journal_file) as journal:
        for rows in run_all(client, job, points, threads=threads):
            for place, result in rows or ():
                journal.add(
                    {
                        "key": f"{place:032x}",
                        "base": "",
                        "settings": {},
                        "method": "nothing",
                        "seed": place,
                        "parameters": {},
                        "source": "",
                        **result,
                    }
                )
            journal.write()
        journal.write(now=True)
    seconds = time.perf_counter() - start, time.process_time() - used
    forget_everywhere(client, job)
    return seconds[0] / len(points), seconds[1] / len(points)


def bare_seconds(client, count: int) -> tuple[float, float]:
    """The same number of calls through Dask's own map and gather; a call's wall and processor time."""
    client.gather(client.map(noop, range(-100, 0), pure=False))
    start, used = time.perf_counter(), time.process_time()
    client.gather(client.map(noop, range(count), pure=False))
    return (time.perf_counter() - start) / count, (time.process_time() - used) / count


def direct_seconds(plan, works: int, amount: int, processes: int) -> float:
    """The same calls without Dask: in one process after the other, or in two at once."""
    from tutorial_lib.course.sweep.experimenter import Experimenter

    experimenters = [Experimenter(plan.program, threads=1) for _ in range(processes)]

    def loop(experimenter) -> None:
        for _ in range(works // processes):
            experimenter.run("own", 0, 1, amount, {}, timeout=600)

    for experimenter in experimenters:
        experimenter.load("own", {})
        experimenter.run("own", 0, 1, amount, {}, timeout=600)
    threads = [threading.Thread(target=loop, args=(experimenter,)) for experimenter in experimenters]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    for experimenter in experimenters:
        experimenter.close()
    return seconds


def calibrate(plan, seconds: float) -> int:
    """Return the amount of work that takes about so many seconds in one process."""
    from tutorial_lib.course.sweep.experimenter import Experimenter

    experimenter, amount = Experimenter(plan.program, threads=1), 500
    experimenter.load("own", {})
    experimenter.run("own", 0, 1, amount, {}, timeout=600)
    took = experimenter.run("own", 0, 1, 4 * amount, {}, timeout=600)["seconds"]
    experimenter.close()
    return max(1, round(4 * amount * seconds / took))


def table_cost(folder: Path, journal_file: Path, count: int = 20_000) -> tuple[float, float, float]:
    """Return, a row: bytes of journal, seconds of the final table, bytes of memory that its rows take."""
    import psutil

    from tutorial_lib.course.sweep.table import write_results

    row = json.loads(journal_file.read_text().splitlines()[-1])
    write_results(folder, [row], methods=["nothing"], swept=[], title="imports are not counted")
    before = psutil.Process().memory_info().rss
    rows = [json.loads(json.dumps(row | {"key": f"{place:032x}", "seed": place})) for place in range(count)]
    start = time.perf_counter()
    write_results(folder, rows, methods=["nothing"], swept=[], title="bench")
    seconds = time.perf_counter() - start
    held = psutil.Process().memory_info().rss - before
    return len(json.dumps(row)) + 1, seconds / count, held / count


def main(runs: int = RUNS, works: int = WORKS, seconds: float = SECONDS) -> None:
    """Measure and print."""
    from tutorial_lib.course.sweep.cluster import ask_for_calls, connect
    from tutorial_lib.course.sweep.program import Point

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan = plan_of(folder)
        base = next(iter(plan.sets))
        plan.changed = {"own": plan.changed[base]}
        amount = calibrate(plan, seconds)
        costs = {}
        for workers in (1, 2):
            start = time.perf_counter()
            with connect(None, workers=workers) as client:
                up = time.perf_counter() - start
                loading = ask_for_calls(client, plan.job(threads=1), "own")["seconds"]
                points = [Point("own", 0, 0, seed, {}) for seed in range(runs)]
                ours, used = sweep_seconds(client, plan, points, workers, folder / f"rows{workers}.jsonl")
                bare, bare_used = bare_seconds(client, runs)
                costs[workers] = ours, used
                print(
                    f"{runs} empty runs, {workers} worker{'s' * (workers > 1)}: {1000 * ours:.2f} ms each (processor "
                    f"time of client and scheduler {1000 * used:.2f} ms); bare client.map {1000 * bare:.2f} ms "
                    f"({1000 * bare_used:.2f} ms): {ours / bare:.1f} x, {1000 * (ours - bare):+.2f} ms; "
                    f"cluster up in {up:.1f} s, chapter loaded in {loading:.1f} s"
                )
                if workers == 2:
                    points = [("own", 0, 1, amount, {})] * works
                    two = works * sweep_seconds(client, plan, points, workers, folder / "work.jsonl")[0]
        one = direct_seconds(plan, works, amount, 1)
        both = direct_seconds(plan, works, amount, 2)
        print(
            f"{works} runs of about {one / works:.2f} s: one process {one:.1f} s, two at once {both:.1f} s, "
            f"sweep on two workers {two:.1f} s: {one / two:.2f} x one process ({50 * one / two:.0f} % of twice; "
            f"{100 * both / two:.0f} % of what two processes give; goal: over 90 %)"
        )
        row, table, held = table_cost(folder, folder / "rows1.jsonl")
        print(f"journal {row:.0f} bytes a row; final table {1e6 * table:.0f} µs and {held / 1024:.1f} KiB a row")
        each, used = costs[2]
        count = 100_000
        print(
            f"on paper, {count:,} runs: client and scheduler {count * used / 60:.1f} min of one core, so at most "
            f"{1 / used:.0f} runs a second: a run of T seconds keeps up to {1 / used:.0f} x T workers busy; journal "
            f"{count * row / 1e6:.0f} MB; final table {count * table:.0f} s, {count * held / 2**30:.1f} GiB"
        )


if __name__ == "__main__":
    main()
