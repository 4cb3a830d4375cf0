"""Imports only go down: methods <- lab <- course; and an import does nothing but import."""

import ast
import json
import os
import pkgutil
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tutorial_lib"


def imported(path: Path) -> set[str]:
    """Full names of what a file imports, anywhere in it; relative imports resolved, `from a import b` as a and a.b."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def under(names: set[str], *roots: str) -> set[str]:
    return {name for name in names if any(name == root or name.startswith(root + ".") for root in roots)}


#: What a method may use where it is installed: imported by the function that needs it, never by the module.
OPTIONAL = {"gemmi", "jieba", "nltk", "skimage", "simplemma", "spacy", "transformers"}

LAB = sorted((PACKAGE / "lab").rglob("*.py"))
COURSE = sorted((PACKAGE / "course").rglob("*.py"))
METHODS = sorted({*PACKAGE.rglob("*.py")} - {*LAB, *COURSE, PACKAGE / "__init__.py"})
DATA = sorted((ROOT / "data_scripts").rglob("*.py"))

#: The wings of `course`. They stand beside each other over its ground floor; the command line alone opens them all.
WINGS = ("classroom", "front", "run", "sweep")


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def arrows(paths: list[Path]) -> dict[str, set[str]]:
    """Module -> the modules that it imports, anywhere in it. To import from a folder is to import each file of it: the
    folder's own file gets its names from them, some only when they are asked for."""
    modules = {module_name(path): path for path in paths}
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        targets: set[str] = set()
        for name in imported(path):
            parent = name.rpartition(".")[0]
            if name not in modules and parent in modules and modules[parent].name == "__init__.py":
                targets |= {inner for inner in modules if inner.startswith(parent + ".")}
            elif name in modules and modules[name].name != "__init__.py":
                targets.add(name)
        # A file may name itself: sweep's cluster sends a function to workers, who import it from there by its name.
        found[module] = targets - {module}
    return found


def circle(graph: dict[str, set[str]]) -> list[str]:
    """One circle of imports, first module again at its end; an empty list where there is none."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_there_is_something_on_every_floor():
    assert METHODS and LAB and COURSE and DATA


@pytest.mark.parametrize("path", METHODS, ids=named)
def test_a_method_imports_torch_numpy_scipy_and_methods_only(path):
    names = imported(path)
    assert not under(names, "tutorial_lib.lab", "tutorial_lib.course", "data_scripts", "tests", "benchmarks")
    outside = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)
    assert outside <= {"torch", "numpy", "scipy", "tutorial_lib"} | OPTIONAL
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue  # what a class body imports, it imports with the module: the next test would see it
        first = {alias.name for part in ast.walk(node) if isinstance(part, ast.Import) for alias in part.names}
        first |= {part.module for part in ast.walk(node) if isinstance(part, ast.ImportFrom) and part.module}
        assert not under(first, *OPTIONAL), f"{named(path)} imports an optional library as it is imported itself"


def test_importing_the_methods_loads_no_optional_library(tmp_path):
    (tmp_path / "home").mkdir()
    modules = ", ".join(module_name(path) for path in METHODS)
    code = f"import sys, {modules}; print([n for n in {sorted(OPTIONAL)!r} if n in sys.modules])"
    assert run_python(code, tmp_path / "home").strip() == "[]"


def test_cleaning_does_not_wait_for_torch(tmp_path):
    (tmp_path / "home").mkdir()
    code = (
        "import sys; from tutorial_lib.text import *; from tutorial_lib.augment import eda\n"
        "tokenize(clean('BP 120/80'), language='en'); print('torch' in sys.modules)"
    )
    assert run_python(code, tmp_path / "home").strip() == "False"


@pytest.mark.parametrize("path", LAB, ids=named)
def test_the_lab_does_not_look_up(path):
    assert not under(imported(path), "tutorial_lib.course", "data_scripts", "tests", "benchmarks")


@pytest.mark.parametrize("path", COURSE, ids=named)
def test_the_course_does_not_look_aside(path):
    assert not under(imported(path), "data_scripts", "tests", "benchmarks")


@pytest.mark.parametrize("wing", WINGS)
def test_the_wings_do_not_import_each_other(wing):
    others = [f"tutorial_lib.course.{other}" for other in WINGS if other != wing]
    paths = sorted((PACKAGE / "course" / wing).rglob("*.py"))
    assert len(paths) > 1
    assert {named(path): under(imported(path), *others) for path in paths if under(imported(path), *others)} == {}


def test_the_ground_floor_imports_no_wing():
    """But for the command line, which opens them."""
    wings = [f"tutorial_lib.course.{wing}" for wing in WINGS]
    ground = [path for path in (PACKAGE / "course").glob("*.py") if path.name != "cli.py"]
    assert {named(path): under(imported(path), *wings) for path in ground if under(imported(path), *wings)} == {}


def test_no_import_runs_in_a_circle():
    assert circle(arrows([*METHODS, *LAB, *COURSE, *DATA])) == []


def test_the_finder_of_circles_finds_them(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    folder = tmp_path / "tutorial_lib/text"
    folder.mkdir(parents=True)
    files = {
        "__init__": "_HOME = {'clean': 'a'}",
        "a": "def f():\n    from . import b",
        "b": "from .c import x",
        "c": "",
    }
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    paths = sorted(folder.glob("*.py"))
    assert circle(arrows(paths)) == []
    (folder / "c.py").write_text("from tutorial_lib.text.a import f")
    assert {name.rpartition(".")[2] for name in circle(arrows(paths))} == {"a", "b", "c"}
    (folder / "c.py").write_text("from tutorial_lib.text import clean")  # a name that its folder hands on
    assert circle(arrows(paths))


def test_a_file_is_one_room():
    """Lines of code files: at most 700, in `course` 500; tables of words are not code to read."""
    tables = {PACKAGE / "augment/lexicon.py"}
    limits = {path: 500 if path in COURSE else 700 for path in {*METHODS, *LAB, *COURSE, *DATA} - tables}
    long = {
        named(path): lines for path in limits if (lines := len(path.read_text("utf-8").splitlines())) > limits[path]
    }
    assert long == {}


@pytest.mark.parametrize("path", DATA, ids=named)
def test_the_recipes_use_the_place_of_the_sets_and_nothing_else(path):
    own = under(imported(path), "tutorial_lib")
    assert not own - {"tutorial_lib.lab.real"} - {name for name in own if name.startswith("tutorial_lib.lab.real.")}


def test_the_finder_sees_through_every_form(tmp_path, monkeypatch):
    """The tests above are worth what this function is worth."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "tutorial_lib/lab/x.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import a.b as c\nfrom .. import course\nfrom ..course import runner\nfrom . import plots\n"
        "def f():\n    from tutorial_lib.course.report import page\n"
    )
    names = imported(path)
    assert {"a.b", "tutorial_lib.course", "tutorial_lib.course.runner", "tutorial_lib.lab.plots"} <= names
    assert "tutorial_lib.course.report.page" in names
    assert under(names, "tutorial_lib.course") and not under({"tutorial_lib.courses"}, "tutorial_lib.course")


# --- imports without side effects ---


def run_python(code: str, folder: Path) -> str:
    """Run code in a fresh interpreter whose home, cache and working folder are all ``folder``."""
    environment = {
        **os.environ,
        **dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder)),
        "TMPDIR": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(ROOT),
    }
    # What other libraries keep is their affair: Matplotlib writes its font list when it is first imported.
    environment["MPLCONFIGDIR"] = str(folder.parent / "matplotlib")
    environment["IPYTHONDIR"] = str(folder.parent / "ipython")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_loads_next_to_nothing(tmp_path):
    (tmp_path / "home").mkdir()
    code = """
import json, sys
before = set(sys.modules)
import tutorial_lib
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    new = json.loads(run_python(code, tmp_path / "home"))
    outside = {name.split(".")[0] for name in new} - set(sys.stdlib_module_names)
    assert outside == {"tutorial_lib"}
    assert len(new) <= 12, new  # pkgutil and what it needs


@pytest.mark.parametrize("module", ["tutorial_lib.lab", "tutorial_lib.course", "tutorial_lib.lab.real", "data_scripts"])
def test_what_reads_no_tensor_loads_no_torch(tmp_path, module):
    (tmp_path / "home").mkdir()
    code = f"import sys, {module}; print('torch' in sys.modules, 'matplotlib' in sys.modules)"
    assert run_python(code, tmp_path / "home").split() == ["False", "False"]


MODULES = [
    module.name
    for package in ("tutorial_lib", "data_scripts")
    for module in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}.")
]

WATCH = """
import builtins, importlib, io, json, locale, os, random, signal, socket, sys, threading
import numpy as np, torch
import IPython, ipywidgets, matplotlib.pyplot, papermill, seaborn, sklearn  # what they do is not our doing

def refuse(*arguments, **options):
    raise AssertionError("an import opened a connection or started a process")

socket.socket.connect = refuse
os.system = refuse
import subprocess
subprocess.Popen.__init__ = refuse

def state():
    numpy_state = np.random.get_state()
    return {
        "random": hash(random.getstate()),
        "numpy": hash((numpy_state[1].tobytes(), numpy_state[2])),
        "torch": hash(torch.random.get_rng_state().numpy().tobytes()),
        "dtype": str(torch.get_default_dtype()),
        "threads": torch.get_num_threads(),
        "interop": torch.get_num_interop_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "grad": torch.is_grad_enabled(),
        "numpy errors": str(np.geterr()),
        "print options": str(np.get_printoptions()),
        "environment": hash(tuple(sorted(os.environ.items()))),
        "folder": os.getcwd(),
        "rc": hash(str(matplotlib.rcParams)),
        "backend": matplotlib.get_backend(auto_select=False),
        "locale": locale.setlocale(locale.LC_ALL),
        "interrupt": str(signal.getsignal(signal.SIGINT)),
        "terminate": str(signal.getsignal(signal.SIGTERM)),
        "own threads": threading.active_count(),
    }

report = {}
for name in MODULES:
    before, out = state(), sys.stdout
    sys.stdout = io.StringIO()
    importlib.import_module(name)
    printed, sys.stdout = sys.stdout.getvalue(), out
    changed = [key for key, value in state().items() if value != before[key]]
    if changed or printed:
        report[name] = changed + ([f"printed {printed!r}"] if printed else [])
print(json.dumps(report))
"""


def test_importing_any_module_changes_nothing_and_writes_nothing(tmp_path):
    assert {"tutorial_lib.mixup", "tutorial_lib.lab.training", "data_scripts.__main__"} <= set(MODULES)
    home = tmp_path / "home"
    home.mkdir()
    changed = json.loads(run_python(f"MODULES = {MODULES!r}\n{WATCH}", home).splitlines()[-1])
    assert changed == {}
    left = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    assert left == []
