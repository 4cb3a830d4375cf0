"""A chapter on Colab: its file in an empty folder, a kernel with older packages, and nothing of the course there.

The bare environment has a torch and a NumPy inside our ranges that are not the newest, and Colab's own IPython. The
set-up lines must install the course from its repository, leave every package that is there as it is, and the chapter
must then run to its end in the same kernel.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from packaging.requirements import Requirement

#: Colab's own versions (August 2026) of what a running kernel has loaded.
OLDER = ["pip==24.1.2", "numpy==2.0.2", "ipython==7.34.0", "ipykernel==6.17.1"]
#: Large, and on Colab too: lent by the tests' own environment, whose torch is not the newest either.
LENT = ["torch", "scikit-learn", "scikit-image", "seaborn"]
NETWORK = r"Temporary failure|Connection|timed out|Could not find a version|No matching distribution|Name or service"
ADDRESS = re.compile(r"git\+https://github\.com/[^\\\"]+")


def lend(name: str, site: Path, *, done: set[str]) -> None:
    """Put an installed package, and what it needs but NumPy, into another environment as pip would have left them.

    torch alone is hundreds of megabytes, and from a resolver the CUDA build. So the files are linked, not fetched
    again. The bare environment's pip reads the same metadata, and what it would remove or exchange are its own links.
    """
    if name in done or name == "numpy":
        return
    done.add(name)
    package = metadata.distribution(name)
    for file in package.files or []:
        source = Path(file.locate())
        # Scripts lie outside. What is compiled comes along: a link has its source's time, so it stays valid.
        if ".." in file.parts or not source.is_file():
            continue
        target = site / file
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    for line in package.requires or []:
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            lend(re.sub(r"[-_.]+", "-", needed.name).lower(), site, done=done)


def run(*command, cwd, **settings):
    return subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, **settings)


class Bare:
    """A virtual environment without the course, and an empty folder to run in."""

    def __init__(self, root: Path):
        self.root, self.empty = root, root / "empty"
        self.empty.mkdir()
        # What belongs to the tests' own environment, or says that nobody is watching, must not come along.
        hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "TUTORIAL_HEADLESS", "MPLBACKEND", "TUTORIAL_DATA")
        self.environment = {key: value for key, value in os.environ.items() if key not in hidden}
        self.environment |= {
            "HOME": str(root),
            "JUPYTER_PATH": str(root / "jupyter"),
            "OMP_NUM_THREADS": "1",
            "IPYTHONDIR": str(root / "ipython"),
            "MPLCONFIGDIR": str(root / "matplotlib"),
            "PIP_CACHE_DIR": pip_cache(),
            "PIP_NO_COMPILE": "1",
        }
        made = run(sys.executable, "-m", "venv", root / "venv", cwd=self.empty)
        assert made.returncode == 0, made.stderr
        self.python = root / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        kernel = root / "jupyter" / "kernels" / "bare"
        kernel.mkdir(parents=True)
        argv = [str(self.python), "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (kernel / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": "bare", "language": "python"}))

    def call(self, *arguments) -> str:
        done = run(self.python, *arguments, cwd=self.empty, env=self.environment)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def packages(self) -> dict[str, str]:
        listed = json.loads(self.call("-m", "pip", "list", "--format", "json"))
        return {package["name"]: package["version"] for package in listed}


def pip_cache() -> str:
    found = run(sys.executable, "-m", "pip", "cache", "dir", cwd=ROOT)
    return found.stdout.strip() if found.returncode == 0 else ""


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> str:
    """A bare clone of what is committed here, as pip is told of it."""
    folder = tmp_path_factory.mktemp("clone") / "tutorial.git"
    try:
        made = run("git", "clone", "--quiet", "--bare", ROOT, folder, cwd=folder.parent)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if made.returncode:
        pytest.skip(f"{ROOT} is not a git checkout that can be cloned: {made.stderr.strip().splitlines()[-1:]}")
    return f"git+{folder.as_uri()}"


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Bare:
    made = Bare(tmp_path_factory.mktemp("bare"))
    site = Path(made.call("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    lent: set[str] = set()
    for name in LENT:
        lend(name, site, done=lent)
    done = run(made.python, "-m", "pip", "install", "-q", *OLDER, cwd=made.empty, env=made.environment)
    if done.returncode and re.search(NETWORK, done.stderr):
        pytest.skip(f"pip cannot get {OLDER}: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def chapter(bare, clone):
    """Chapter 00, run by the bare kernel in an empty folder: what pip saw before and after, and the notebook."""
    text = (ROOT / "notebooks" / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert len(ADDRESS.findall(text)) == 1
    notebook = nbformat.reads(ADDRESS.sub(clone, text), as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    before = bare.packages()
    client = NotebookClient(
        notebook, kernel_name="bare", timeout=300, allow_errors=True, resources={"metadata": {"path": str(bare.empty)}}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", bare.environment["JUPYTER_PATH"])
        client.execute(env=bare.environment)
    return before, bare.packages(), notebook


def test_the_environment_is_older_than_what_a_resolver_takes(bare):
    have = bare.packages()
    assert "tutorial-lib" not in have
    assert have["numpy"] == "2.0.2" and have["ipython"] == "7.34.0"
    assert have["torch"] == metadata.version("torch")


def test_every_cell_of_the_chapter_runs(chapter):
    _, _, notebook = chapter
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    wrong = [
        (cell.source, "\n".join(o.get("traceback", [])) + o.get("text", ""))
        for cell in code
        for o in cell.outputs
        if o.output_type == "error" or o.get("name") == "stderr"
    ]
    # pip speaks on the error stream of folders that are not there; an error of a cell is another thing.
    assert not [found for found in wrong if "WARNING: Location" not in found[1]], wrong
    assert all(cell.execution_count for cell in code if cell.source.strip())
    shown = "".join(o.get("text", "") for cell in code for o in cell.outputs)
    assert "NumPy 2.0.2" in shown and f"torch {metadata.version('torch')}" in shown


def test_nothing_that_was_there_has_changed(chapter):
    before, after, _ = chapter
    assert {name: after.get(name) for name in before} == before
    assert "tutorial-lib" in after


def test_the_course_came_from_the_clone(chapter, bare, clone):
    code = "from importlib.metadata import distribution as d; print(d('tutorial-lib').read_text('direct_url.json'))"
    about = json.loads(bare.call("-c", code))
    assert f"git+{about['url']}" == clone and about["vcs_info"]["vcs"] == "git"
    where = Path(bare.call("-c", "import tutorial_lib; print(tutorial_lib.__file__)").strip())
    assert bare.root in where.parents


def test_a_second_run_of_the_set_up_lines_installs_nothing(chapter, bare):
    _, _, notebook = chapter
    lines = "\n\n".join(next(cell.source for cell in notebook.cells if "pip" in cell.source).split("\n\n")[:2])
    assert "subprocess.run" in lines and "tutorial_lib.lab" not in lines
    assert bare.call("-c", f"import sys; sys.executable = 'no pip here'\n{lines}\nprint('done')") == "done\n"


def test_stored_results_came_along(chapter, bare):
    names = sorted(path.stem for path in (ROOT / "results").glob("*.json"))
    code = (
        "import sys, json; from tutorial_lib.lab.results import load_result; "
        "print(json.dumps([load_result(name) for name in sys.argv[1:]]))"
    )
    stored = json.loads(bare.call("-c", code, *names))
    for name, record in zip(names, stored):
        assert record["rows"] and record["command"], name
    assert list(bare.empty.iterdir()) == []


def test_pip_would_rather_refuse_than_change_what_is_there(bare, clone):
    """The exact versions in the same call are what makes it safe, not luck: another torch cannot come in."""
    done = run(
        bare.python,
        "-m",
        "pip",
        "install",
        "-q",
        "--dry-run",
        "--no-build-isolation",
        f"tutorial-lib[chapters] @ {clone}",
        "numpy==1.26.4",
        cwd=bare.empty,
        env=bare.environment,
    )
    assert done.returncode != 0 and "conflict" in done.stderr.lower()
