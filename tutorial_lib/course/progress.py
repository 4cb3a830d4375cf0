"""What the terminal shows while chapters run: a bar each, or plain lines where there is no terminal."""

import time
from dataclasses import dataclass
from typing import Any

SYMBOLS = {"ok": "✓", "failed": "✗", "timeout": "◷", "cached": "↺", "running": "…"}
HEARTBEAT = 30.0


def duration(seconds: float) -> str:
    """Return a length of time as a reader says it.

    Args:
        seconds: the time.

    >>> duration(3.21), duration(75)
    ('3.2 s', '1 min 15 s')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def outcome(record: dict) -> str:
    """Return one line that says how a chapter went.

    Args:
        record: with ``status``, ``seconds``, ``peak_mib`` and ``claims``.

    >>> outcome({"status": "ok", "seconds": 3.21, "peak_mib": 210.4, "claims": []})
    '✓ ok       3.2 s        210 MiB'
    """
    line = (
        f"{SYMBOLS[record['status']]} {record['status']:<7}  {duration(record['seconds']):<11}  "
        f"{record['peak_mib']:.0f} MiB"
    )
    claims = len(record["claims"])
    return line + (f"  {claims} claim{'s' * (claims > 1)}" if claims else "")


def outcomes(records: list[dict]) -> list[str]:
    """Return the lines that close a run: one a chapter, in columns.

    Args:
        records: as for ``outcome``, with ``name``.
    """
    width = max([20, *(len(record["name"]) for record in records)])
    return [f"{record['name']:<{width}} {outcome(record)}" for record in records]


@dataclass
class _Running:
    """How far a chapter has come: cells done, when it started, and when that was last said."""

    cells: int
    start: float
    said: float
    done: int = 0


class Lines:
    """Plain lines, for logs: when a chapter starts, every half minute, and when it ends."""

    def __init__(self, stream):
        self.stream = stream
        self.running: dict[str, _Running] = {}

    def say(self, name: str, text: str) -> None:
        print(f"{name:<20} {text}", file=self.stream, flush=True)

    def cached(self, record: dict) -> None:
        self.say(record["name"], outcome(record))

    def event(self, kind: str, job, value) -> None:
        name = job.chapter.name if job else ""
        now = time.monotonic()
        if kind == "start":
            self.running[name] = _Running(cells=value, start=now, said=now)
            self.say(name, f"… running  {value} cells")
        elif kind == "cell":
            self.running[name].done = value
        elif kind == "done":
            self.running.pop(name, None)
            self.say(name, outcome(value))
        for name, state in self.running.items():
            if now - state.said > HEARTBEAT:
                state.said = now
                self.say(name, f"… running  {state.done}/{state.cells} cells, {duration(now - state.start)}")

    def close(self) -> None:
        self.running.clear()


class Bars:
    """A bar for each chapter over its cells, with the elapsed time and the state."""

    SHAPE = "{desc} {bar:24} {n_fmt:>3}/{total_fmt} cells"

    def __init__(self, stream):
        self.stream = stream
        self.bars: dict[str, Any] = {}

    def _bar(self, name: str, total: int, state: str):
        from tqdm import tqdm

        # tqdm sets a comma before a postfix; the unit stands bare.
        return tqdm(
            total=total,
            desc=f"{name:<20}",
            unit=state,
            file=self.stream,
            leave=True,
            position=len(self.bars),
            dynamic_ncols=True,
            mininterval=0,
            miniters=1,
            bar_format=f"{self.SHAPE}  {{unit}} {{elapsed}}",
        )

    def cached(self, record: dict) -> None:
        print(f"{record['name']:<20} {outcome(record)}", file=self.stream, flush=True)

    def event(self, kind: str, job, value) -> None:
        name = job.chapter.name if job else ""
        bar = self.bars.get(name)
        if kind == "start":
            self.bars[name] = self._bar(name, value, "… running")
        elif kind == "cell" and bar is not None:
            bar.update(value - bar.n)
        elif kind == "done":
            bar = bar if bar is not None else self._bar(name, 0, "")
            self.bars[name] = bar
            # Its clock stops: the outcome says the time.
            bar.unit, bar.bar_format, bar.finished = outcome(value), self.SHAPE + "  {unit}", True
            bar.refresh()
        for bar in self.bars.values():
            if not getattr(bar, "finished", False):
                bar.refresh()

    def close(self) -> None:
        for bar in self.bars.values():
            bar.close()
        self.bars.clear()


def display(stream):
    """Return ``Bars`` for a terminal, ``Lines`` for anything else.

    Args:
        stream: where to write, such as ``sys.stdout``.
    """
    return Bars(stream) if stream.isatty() else Lines(stream)


class Counter:
    """How far a sweep has come: one line that changes on a terminal, a line every few seconds elsewhere.

    Args:
        total: the runs to do.
        stream: where to write, such as ``sys.stdout``.
    """

    def __init__(self, total: int, stream):
        self.total, self.stream, self.live = total, stream, stream.isatty()
        self.done = self.failed = 0
        self.workers: set[str] = set()
        self.start = self.said = time.monotonic()
        self.first: float | None = None

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *error) -> None:
        if self.done or self.live:
            self._say(end="\n")

    def count(self, status: str, worker: str | None) -> None:
        """One run has ended."""
        self.done += 1
        self.failed += status != "ok"
        self.workers |= {worker} if worker else set()
        self.first = self.first or time.monotonic()

    def tick(self) -> None:
        """Say how far it is, if that was not said a moment ago."""
        now = time.monotonic()
        # A long run does not fill its log: half a minute is often enough after the first.
        pause = 0.2 if self.live else 5.0 if now - self.start < 60 else HEARTBEAT
        if now - self.said > pause:
            self.said = now
            self._say()

    def _say(self, end: str = "") -> None:
        spent = time.monotonic() - self.start
        line = f"{self.done}/{self.total} runs"
        line += f" · {self.failed} failed" if self.failed else ""
        if self.done:
            rate = self.done / spent
            line += f" · {rate:.3g} a second · " + (
                f"{duration((self.total - self.done) / rate)} left" if self.done < self.total else duration(spent)
            )
        workers = len(self.workers)
        line += f" · {workers} worker{'s' * (workers != 1)}" if workers else " · starting"
        if self.live:
            filled = round(24 * self.done / max(1, self.total))
            print(f"\r{'█' * filled}{'░' * (24 - filled)} {line}\x1b[K", end=end, file=self.stream, flush=True)
        else:
            print(line, file=self.stream, flush=True)


def headline(summary: dict) -> str:
    """Return one sentence: how many chapters went how, how long they took, and the claims' verdicts.

    Args:
        summary: as in ``summary.json``.
    """
    from tutorial_lib.lab.claims import VERDICTS

    totals = [f"{count} {status}" for status, count in summary["totals"].items() if count]
    seconds = sum(chapter["seconds"] for chapter in summary["chapters"])
    claims = all_claims(summary)
    number = {verdict: sum(claim["verdict"] == verdict for claim in claims) for verdict in VERDICTS}
    verdicts = [f"{count} {verdict}" for verdict, count in number.items() if count or verdict != "no difference"]
    live = [claim["agrees"] for claim in claims if claim.get("agrees") is not None]
    return (
        f"Chapters: {', '.join(totals) or 'none'} ({duration(seconds)} of running{_on_the_clock(summary)}). "
        f"Claims: {', '.join(verdicts) if claims else 'none'}."
        + (f" Live checks: {sum(live)} of {len(live)} agree." if live else "")
    )


def disagreements(record: dict) -> list[dict]:
    """Return the claims of a chapter whose fresh seeds do not agree with the evidence.

    Args:
        record: with ``claims``.

    >>> disagreements({"claims": [{"agrees": True}, {"verdict": "open"}]})
    []
    """
    return [claim for claim in record.get("claims", ()) if claim.get("agrees") is False]


def chance(claims: list[dict]) -> str:
    """Return one sentence: how many of these verdicts chance alone would decide.

    Args:
        claims: each with ``level``, the confidence level of its interval; 0.95 where it says none.

    >>> chance([{"level": 0.99}] * 80 + [{}] * 4)
    'If no method differed from another, chance alone would call about 1 of these 84 claims supported or refuted.'
    """
    from tutorial_lib.lab.claims import LEVEL, by_chance

    return by_chance([claim.get("level") or LEVEL for claim in claims])


def _on_the_clock(summary: dict) -> str:
    """Return how long a reader waited for it; nothing where this run had nothing to do."""
    run, kept = summary.get("run"), summary["totals"].get("cached", 0)
    if not run or not run["chapters"] or kept == sum(summary["totals"].values()):
        return ""
    # What was kept from an earlier run took no time now.
    now = f", {duration(run['running_seconds'])} of it now" if kept else ""
    together = f", {run['jobs']} at a time" if run["jobs"] > 1 else ""
    return f"{now}, done in {duration(run['wall_seconds'])}{together}"


def all_claims(summary: dict) -> list[dict]:
    """Return every claim of a summary, each with its ``chapter``.

    Args:
        summary: as in ``summary.json``.

    >>> all_claims({"chapters": []})
    []
    """
    return [{**claim, "chapter": chapter["name"]} for chapter in summary["chapters"] for claim in chapter["claims"]]
