"""The ``tutorial`` command.

Exit status: 0 all went well; 1 a chapter failed, timed out, could not be stored or does not agree with its evidence
(``doctor``: something the course needs is missing); 2 the request cannot be met, and nothing was written; 130
interrupted.
"""

import argparse
import os
import sys
import textwrap
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from tutorial_lib.course.catalogue import (
    CourseError,
    chapter_files,
    find_notebooks,
    parse_parameters,
    read_chapter,
    select,
)
from tutorial_lib.course.command import Terminated, jobs, positive, table, terminated_like_interrupted

#: Commands that live in a wing: the module, its function that does the work (``add_NAME(parser)`` declares what the
#: command takes), and what it is for.
_WINGS = {
    "sweep": (
        "sweep.grid",
        "sweep",
        "run a chapter's experiment over a grid of settings and seeds, here or on a cluster",
    ),
    "evidence": (
        "sweep.evidence",
        "evidence",
        "make the stored evidence of chapters where it is missing or stale, or check it",
    ),
    "colab": ("front.colab", "colab", "point every Colab badge and set-up line to a fork, or back"),
    "student": (
        "classroom.handout",
        "student",
        "make a clean copy of the course to hand out: no outputs, no solutions",
    ),
    "grade": ("classroom.grades", "grade", "grade students' notebooks into one table"),
    "book": ("front.book", "book", "build the course as a web site from the saved chapters"),
    "map": ("front.readme", "write_map", "for maintainers: write the README's map and picture from the last run"),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: list[str] | None = None) -> int:
    """Run the ``tutorial`` command.

    Args:
        arguments: the words after ``tutorial``; the process's own if not given.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        # A log in an old encoding must not end a run over a tick mark.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        return options.do(options)
    except CourseError as error:
        print(f"tutorial: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of a pipe (`tutorial list | head`) has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutorial", description="Run the course's chapters and read what came out.")
    parser.set_defaults(do=lambda options: _help(parser))
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=_Parser)

    def command(name: str, do, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.add_argument(
            "--notebooks",
            metavar="DIR",
            type=Path,
            help="the folder of chapters (default: the nearest notebooks/ from here upwards)",
        )
        sub.set_defaults(do=do)
        return sub

    def out(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--out",
            metavar="DIR",
            type=Path,
            help="the folder of results and report (default: runs/latest beside notebooks/)",
        )

    def running(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "chapters",
            metavar="CHAPTER",
            nargs="*",
            help="01, 1, 01_mixup, mixup, or a notebook's path; all if none is named",
        )
        sub.add_argument(
            "--jobs",
            metavar="N",
            type=jobs,
            default=None,
            help="chapters at a time; they share the cores (default: auto, as many as there are cores, one thread "
            "each, the longest first; on a GPU one)",
        )
        sub.add_argument(
            "--timeout", metavar="S", type=positive, default=1800.0, help="seconds for one chapter (default: 1800)"
        )

    out(command("list", _list, "list the chapters: question, time, status of the last run"))
    sub = command("run", _run, "run chapters and write the report; what is finished and unchanged is kept")
    running(sub)
    sub.add_argument(
        "-p",
        "--parameter",
        metavar=("NAME", "VALUE"),
        nargs=2,
        action="append",
        default=[],
        help="set one of the chapter's parameters",
    )
    sub.add_argument("--fresh", action="store_true", help="redo also what is finished")
    sub.add_argument(
        "--arithmetic",
        choices=("native", "plain"),
        default="native",
        help="plain: other vector instructions and another number of threads, as on another machine",
    )
    out(sub)
    out(command("claims", _claims, "print all claims and verdicts of the last run"))
    out(command("doctor", _doctor, "look at the environment: what is there, what is missing, how to get it"))
    command("lab", _lab, "open JupyterLab on the first chapter")
    running(command("refresh", _refresh, "for maintainers: run chapters and their solutions, and save them in place"))
    for name, (place, function, text) in _WINGS.items():
        # Each of these modules knows its own arguments and work; all are light to import.
        module = import_module(f"tutorial_lib.course.{place}")
        getattr(module, f"add_{name}")(command(name, getattr(module, function), text))
    return parser


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return 0


def _notebooks(options) -> Path:
    return options.notebooks or find_notebooks()


def _out(options) -> Path:
    return options.out or _notebooks(options).resolve().parent / "runs" / "latest"


def _list(options) -> int:
    from tutorial_lib.course.files import read_json
    from tutorial_lib.course.keys import finished
    from tutorial_lib.course.machine import describe_device, installed_versions
    from tutorial_lib.course.progress import SYMBOLS, duration

    versions, device = installed_versions(), describe_device()
    rows = []
    for path in chapter_files(_notebooks(options)):
        record = read_json(_out(options) / "chapters" / f"{path.stem}.json") or {}
        try:
            chapter = read_chapter(path)
        except CourseError as error:
            rows.append((path.stem, f"✗ {error}", "", "unreadable"))
            continue
        status = record.get("status", "never")
        if status == "ok" and not finished(_out(options), chapter, None, versions, device):
            status = "changed"
        time = duration(record["seconds"]) if "seconds" in record else "–"
        rows.append((chapter.name, chapter.question or chapter.title, time, f"{SYMBOLS.get(status, '·')} {status}"))
    print(table(("chapter", "question", "time", "status"), rows, stretch=1))
    return 0


def _claims(options) -> int:
    from tutorial_lib.course.files import read_json
    from tutorial_lib.course.progress import all_claims, chance, headline
    from tutorial_lib.course.run.report import count_seeds, interval, live
    from tutorial_lib.lab.claims import VERDICTS

    summary = read_json(_out(options) / "summary.json")
    if summary is None or summary.get("schema") != 1:
        raise CourseError(f"no run in {_out(options)} yet: start one with tutorial run")
    rows = [
        (
            claim["chapter"],
            claim["statement"],
            interval(claim),
            count_seeds(claim),
            f"{VERDICTS.get(claim['verdict'], '?')} {claim['verdict']}",
            live(claim),
        )
        for claim in all_claims(summary)
    ]
    print(table(("chapter", "claim", "effect [interval]", "seeds", "verdict", "live"), rows, stretch=1))
    print(headline(summary))
    if rows:
        print(chance(all_claims(summary)))
    return 0


def _run(options) -> int:
    from tutorial_lib.course.clean import plain
    from tutorial_lib.course.files import DiskError
    from tutorial_lib.course.progress import disagreements, display, headline, outcomes
    from tutorial_lib.course.run.runner import run

    notebooks, out = _notebooks(options), _out(options)
    chapters = select(options.chapters, notebooks)
    parameters = [parse_parameters(chapter, options.parameter) for chapter in chapters]
    others = [chapter for chapter in _readable(notebooks) if chapter.name not in {one.name for one in chapters}]
    again = "tutorial run does only what is missing" + (f" (with --out {options.out})" if options.out else "")
    try:
        with terminated_like_interrupted():
            summary = run(
                chapters,
                out=out,
                parameters=parameters,
                parallel=options.jobs,
                timeout=options.timeout,
                fresh=options.fresh,
                others=others,
                show=display(sys.stdout),
                arithmetic=options.arithmetic,
            )
    except DiskError as error:
        print(f"tutorial: {error}. Chapters already finished are kept; make room, then {again}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\ntutorial: interrupted. Chapters already finished are kept in {out}; {again}.", file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    print()
    asked = {chapter.name for chapter in chapters}
    print("\n".join(outcomes([chapter for chapter in summary["chapters"] if chapter["name"] in asked])))
    failed = [chapter for chapter in summary["chapters"] if chapter["name"] in asked and chapter["error"]]
    for chapter in failed:
        fault = chapter["error"]
        where = f" in code cell {fault['cell']}" if fault["cell"] else ""
        print(f"\n── {chapter['name']}: {chapter['status']}{where} " + "─" * 20)
        if fault["source"]:
            print(textwrap.indent(plain(fault["source"]), "    ") + "\n")
        print(plain(fault["traceback"] or fault["message"]))
    apart = [
        (chapter["name"], claim)
        for chapter in summary["chapters"]
        if chapter["name"] in asked
        for claim in disagreements(chapter)
    ]
    for name, claim in apart:
        text = f"\n✗ {name}: the fresh seeds do not agree with the evidence: {plain(claim['statement'])}"
        print(f"\x1b[31m{text}\x1b[0m" if sys.stdout.isatty() else text)
    print(f"\n{headline(summary)}\nReport: {out / 'index.html'}")
    return 1 if failed or apart else 0


def _refresh(options) -> int:
    from tutorial_lib.course.clean import plain
    from tutorial_lib.course.progress import display
    from tutorial_lib.course.run.runner import Job, refresh

    notebooks = _notebooks(options)
    jobs = []
    for chapter in select(options.chapters, notebooks):
        jobs.append(Job(chapter, mode="refresh", target=chapter.path))
        solution = notebooks / "solutions" / chapter.path.name
        if chapter.path.parent.resolve() == notebooks.resolve() and solution.is_file():
            solved = read_chapter(solution, name=f"solutions.{solution.stem}")
            jobs.append(Job(solved, mode="refresh", target=solution))
    try:
        with terminated_like_interrupted():
            records = refresh(jobs, parallel=options.jobs, timeout=options.timeout, show=display(sys.stdout))
    except KeyboardInterrupt as interrupt:
        print("\ntutorial: interrupted. A notebook is either refreshed or as it was.", file=sys.stderr)
        return 143 if isinstance(interrupt, Terminated) else 130
    failed = [record for record in records if record["error"]]
    for record in failed:
        error = record["error"]
        where = f" in code cell {error['cell']}" if error["cell"] else ""
        print(f"\n── {record['name']}: {record['status']}{where}; the notebook is left as it was " + "─" * 10)
        print(textwrap.indent(plain(error["source"]), "    ") + "\n\n" + plain(error["traceback"]))
    return 1 if failed else 0


def _doctor(options) -> int:
    from tutorial_lib.course.doctor import examine

    return examine(out=options.out, notebooks=options.notebooks)


def _lab(options) -> int:
    import importlib.util

    if importlib.util.find_spec("jupyterlab") is None:
        raise CourseError('JupyterLab is not installed here: pip install -e ".[course]"')
    # Absolute: JupyterLab starts in the course's folder, wherever this command was given.
    folder = _notebooks(options).resolve()
    chapters = chapter_files(folder)
    first = chapters[0] if chapters else folder
    command = [sys.executable, "-m", "jupyterlab", str(first)]
    if chapters:
        # For whoever copies the printed address, where no browser opens by itself.
        command.append(f"--LabApp.default_url=/lab/tree/{first.name}")
    print("Opening", first, flush=True)
    os.chdir(folder.parent)
    os.execv(command[0], command)


def _readable(notebooks: Path) -> list:
    chapters = []
    for path in chapter_files(notebooks) if notebooks.is_dir() else []:
        try:
            chapters.append(read_chapter(path))
        except CourseError:
            # Not asked for: `tutorial list` shows it.
            continue
    return chapters


if __name__ == "__main__":
    sys.exit(main())
