"""Small notebooks made for the runner's tests, and the command run as a reader runs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import tutorial_lib

PARAMETERS = 'FAST = True\nSEED = 0\nRATE = 0.5\nDEVICE = "auto"'
CLAIM = """from IPython.display import display
def say(statement, effect, low, high, seeds, verdict):
    record = dict(statement=statement, effect=effect, low=low, high=high, seeds=seeds, verdict=verdict, better="higher")
    display({"application/vnd.tutorial.claim+json": record, "text/plain": statement}, raw=True)
say("mixup <b>helps</b>", 0.031, 0.01, 0.05, 5, "supported")
say("flow mixup helps", -0.02, -0.05, -0.001, [0, 1, 2], "refuted")
say("nobody knows", None, -1.0, 1.0, 3, "open")"""
# One red pixel: a figure without the price of importing matplotlib.
FIGURE = """import base64
from IPython.display import Image
Image(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGP4z8DwHwAFAAH/iZk9HQAAAABJRU5ErkJggg=="))"""


class Course:
    """A folder with ``notebooks/`` and a way to call ``tutorial`` in it."""

    def __init__(self, root: Path, package: Path):
        self.root, self.package = root, package
        self.notebooks = root / "notebooks"
        self.notebooks.mkdir(parents=True, exist_ok=True)
        self.out = root / "runs" / "latest"
        self.claim, self.figure = CLAIM, FIGURE

    def chapter(
        self, name: str, *cells: str, parameters: str | None = PARAMETERS, kernel: str = "python3", **about
    ) -> Path:
        """Write ``notebooks/NAME.ipynb``; a cell that starts with ``#`` and a blank is Markdown."""
        made = [new_markdown_cell(cell) if cell.startswith("# ") else new_code_cell(cell) for cell in cells]
        if parameters:
            made.insert(0, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        for number, cell in enumerate(made):
            cell["id"] = f"cell-{number}"
        about = {"number": 1, "title": name, "question": f"What does {name} ask?"} | about
        metadata = {"tutorial": about, "kernelspec": {"name": kernel, "display_name": kernel}}
        path = self.notebooks / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(new_notebook(cells=made, metadata=metadata), path)
        return path

    def kernel(self, name: str, *argv: str) -> None:
        """Register a kernel that the command will find before any other of its name."""
        folder = self.root / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {"argv": list(argv), "display_name": name, "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))

    def start(self, *arguments: str, **settings) -> subprocess.Popen:
        """Start ``tutorial`` and do not wait for it."""
        command = [sys.executable, "-m", "tutorial_lib.course.cli", *arguments]
        environment = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": str(self.package)}
        environment["JUPYTER_PATH"] = str(self.root / "jupyter")
        environment["COLUMNS"] = "200"  # what a narrow terminal breaks is tested in test_tables.py
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | settings
        return subprocess.Popen(command, cwd=self.root, env=environment, **settings)

    def tutorial(self, *arguments: str, **settings) -> subprocess.CompletedProcess:
        """Run ``tutorial`` to its end."""
        process = self.start(*arguments, **settings)
        stdout, stderr = process.communicate(timeout=240)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def summary(self) -> dict:
        return json.loads((self.out / "summary.json").read_text(encoding="utf-8"))

    def chapters(self) -> dict[str, dict]:
        return {chapter["name"]: chapter for chapter in self.summary()["chapters"]}

    def record(self, name: str) -> dict:
        return json.loads((self.out / "chapters" / f"{name}.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> Path:
    """A copy of the package: its source is part of every key, and must not change under a test while it is edited."""
    folder = tmp_path_factory.mktemp("package")
    source = Path(tutorial_lib.__file__).parent
    shutil.copytree(source, folder / "tutorial_lib", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def course(tmp_path, package) -> Course:
    return Course(tmp_path, package)


@pytest.fixture(scope="module")
def shared_course(tmp_path_factory, package) -> Course:
    return Course(tmp_path_factory.mktemp("course"), package)
