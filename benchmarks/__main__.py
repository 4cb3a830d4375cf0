"""Run the benchmarks: all of ``benchmarks/bench_*.py``, or those that are named."""

import argparse
import inspect
from importlib import import_module
from pathlib import Path

from benchmarks.timing import machine


def main() -> None:
    names = sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of: {', '.join(names)} (default: all)")
    parser.add_argument(
        "--peers", action="store_true", help="also fetch and run the peers that are not in the test extra"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in names]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are: {', '.join(names)}")
    print(machine())
    for name in arguments.names or names:
        print(f"\n== {name}")
        benchmark = import_module(f"benchmarks.bench_{name}").main
        fetch = arguments.peers and "peers" in inspect.signature(benchmark).parameters
        benchmark(**({"peers": True} if fetch else {}))


if __name__ == "__main__":
    main()
