"""The files that set the project up agree with each other and with what the code imports."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]

#: Where conda-forge uses another name than the one in pyproject.toml.
CONDA = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base", "bleach": "bleach-with-css"}
#: What conda-forge does not have: environment.yml gets it through pip.
PIP_ONLY = {"simplemma"}


def requirements(*groups: str) -> dict[str, Requirement]:
    """Canonical name -> requirement, of the core and of the named extras."""
    found: dict[str, Requirement] = {}
    for group in [PROJECT["dependencies"], *(EXTRAS[group] for group in groups)]:
        for name, requirement in expanded(group).items():
            assert name not in found or found[name].specifier == requirement.specifier, f"{name}: two ranges"
            found[name] = requirement
    return found


def expanded(lines: list[str]) -> dict[str, Requirement]:
    """An extra's requirements by name. An extra that it contains comes first; its own lines may only narrow that."""
    found: dict[str, Requirement] = {}
    for line in lines:
        requirement = Requirement(line)
        name = canonicalize_name(requirement.name)
        if name == PROJECT["name"]:
            assert not found
            for extra in requirement.extras:
                found |= expanded(EXTRAS[extra])
        else:
            assert name not in found or lowest(requirement) >= lowest(found[name]), f"{name}: wider than in its part"
            found[name] = requirement
    return found


def lowest(requirement: Requirement) -> Version:
    (bound,) = requirement.specifier
    assert bound.operator == ">="
    return Version(bound.version)


def constraints() -> dict[str, Version]:
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, version = line.partition("==")
            pins[canonicalize_name(name)] = Version(version)
    return pins


def environment() -> tuple[dict[str, SpecifierSet], list[str]]:
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    conda, pip = {}, []
    for item in content["dependencies"]:
        if isinstance(item, dict):
            pip += item["pip"]
        else:
            name, bounds = re.fullmatch(r"([A-Za-z0-9_.-]+)(.*)", item).groups()
            if name == "python":  # conda's form of "this minor version"; tests/test_binder.py looks at it
                bounds = re.sub("^=([0-9.]+)$", r"==\1.*", bounds)
            assert name not in conda, f"{name} is there twice"
            conda[name] = SpecifierSet(bounds)
    return conda, pip


def tracked_files() -> list[Path]:
    """What git would commit; without git, what lies here and is not built."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        built = {".venv", ".git", "runs", "build", "dist"}
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
        names = [name for name in names if not built & set(Path(name).parts)]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def imports(code: Path | str) -> set[str]:
    """The top-level packages that a file, or a text, imports anywhere, without its own."""
    found = set()
    for node in ast.walk(ast.parse(code if isinstance(code, str) else code.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.split(".")[0])
    helpers = {path.stem for path in (ROOT / "tests").glob("*.py")}
    return found - set(sys.stdlib_module_names) - {"tutorial_lib", "data_scripts", "benchmarks", "tests"} - helpers


@cache
def installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


def distributions(modules: set[str]) -> set[str]:
    known = installed()
    return {canonicalize_name(known[module][0]) if module in known else module for module in modules}


# --- environment.yml ---


def test_environment_holds_core_course_and_data_in_the_same_ranges():
    conda, _ = environment()
    wanted = {CONDA.get(name, name): entry for name, entry in requirements("course", "data").items()}
    wanted = {name: entry for name, entry in wanted.items() if name not in PIP_ONLY}
    given = {canonicalize_name(name): bounds for name, bounds in conda.items() if name not in ("python", "pip")}
    assert set(given) == set(wanted)
    assert {name: str(bounds) for name, bounds in given.items()} == {
        name: str(entry.specifier) for name, entry in wanted.items()
    }


def test_environment_installs_this_folder():
    conda, pip = environment()
    ranges = [f"{name}{entry.specifier}" for name, entry in requirements("course", "data").items() if name in PIP_ONLY]
    assert "pip" in conda and pip == [*ranges, "-e ."]
    content = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert content["channels"] == ["conda-forge", "nodefaults"]


def test_environment_would_accept_the_tested_versions():
    conda, _ = environment()
    pins = constraints()
    for name in requirements("course", "data").keys() - PIP_ONLY:
        assert pins[name] in conda.get(CONDA.get(name, name), conda.get(name.replace("-", "_"))), name


# --- constraints.txt ---


def test_every_direct_dependency_is_pinned_inside_its_range():
    pins = constraints()
    for name, entry in (item for extra in EXTRAS for item in requirements(extra).items()):
        assert name in pins, f"{name} is not in constraints.txt"
        assert pins[name] in entry.specifier, f"{name}=={pins[name]} is outside {entry.specifier}"


def test_constraints_are_exact_and_sorted_by_nothing_else():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*", line) for line in pins)
    assert len(constraints()) == len(pins)  # no name twice
    assert "torchvision" not in constraints()  # it does not import beside CPU torch, and breaks others that look for it


# --- pyproject.toml ---


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("tutorial_lib/lab", ["chapters"]),
        ("tutorial_lib/course", ["course", "cluster", "book"]),
        ("data_scripts", ["data"]),
    ],
)
def test_what_is_imported_is_declared(folder, extras):
    declared = set(requirements(*extras))
    for path in sorted((ROOT / folder).rglob("*.py")):
        missing = distributions(imports(path)) - declared
        assert not missing, f"{path.relative_to(ROOT)} imports {missing}, not in core or {extras}"


def test_only_a_sweep_needs_the_cluster():
    cluster = requirements("cluster").keys() - requirements().keys()
    every = sorted((ROOT / "tutorial_lib").rglob("*.py"))
    users = {path.name for path in every if distributions(imports(path)) & cluster}
    assert users == {"cluster.py"}


def test_only_the_book_needs_sphinx():
    sphinx = requirements("book").keys() - requirements("course", "cluster").keys()
    every = sorted((ROOT / "tutorial_lib").rglob("*.py"))
    users = {path.parent.name for path in every if distributions(imports(path)) & sphinx}
    assert users == {"book"}


def test_what_tests_and_benchmarks_import_is_declared():
    declared = set(requirements("course", "cluster", "data", "test"))
    for folder in ("tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.parent.name == "vectors":  # made once, beside peers that cannot be installed with the course
                continue
            missing = distributions(imports(path)) - declared
            assert not missing, f"{path.relative_to(ROOT)} imports {missing}"


def test_the_chapters_have_what_the_text_methods_need():
    assert requirements("text").items() <= requirements("chapters").items()


def test_what_a_chapter_imports_is_in_the_extra_that_its_first_lines_install():
    declared = set(requirements("chapters"))
    for path in sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            source = "".join(cell["source"])
            # monai: a chapter shows it only where it is installed, and asks first.
            if cell["cell_type"] == "code" and 'find_spec("monai")' not in source:
                missing = distributions(imports(source)) - declared
                assert not missing, f"{path.name} imports {missing}"


def test_the_chapters_extra_takes_what_colab_has():
    """Colab's own versions (August 2026): its set-up lines must not replace what a running kernel has loaded."""
    colab = {
        "ipython": "7.34.0",
        "ipywidgets": "7.7.1",
        "pandas": "2.2.2",
        "numpy": "2.0.2",
        "torch": "2.10.0",
        "scipy": "1.16.3",
        "matplotlib": "3.10.0",
        "scikit-learn": "1.6.1",
        "scikit-image": "0.25.2",
        "seaborn": "0.13.2",
        "tqdm": "4.67.3",
        "nltk": "3.9.1",
        "jieba": "0.42.1",
        "pillow": "11.3.0",
        "platformdirs": "4.10.0",
    }
    wanted = requirements("chapters")
    assert wanted.keys() - colab.keys() == {"simplemma"}
    for name, version in colab.items():
        assert version in wanted[name].specifier, f"{name}: Colab's {version} is outside {wanted[name].specifier}"


def test_the_core_is_small():
    assert set(requirements()) == {"torch", "numpy", "scipy"}


def test_the_manifest_travels_with_the_package():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    assert build["package-data"]["data_scripts"] == ["manifest.toml", "*.csv", "*.csv.gz"]


# --- the rest ---


def test_one_version_everywhere():
    import tutorial_lib

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["version"] == tutorial_lib.__version__ == citation["version"]
    assert PROJECT["license"] == citation["license"] == "MIT"
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert str(citation["cff-version"]) == "1.2.0"
    assert citation["title"] and citation["message"] and citation["type"] == "software"
    for entry in [citation, *citation["references"]]:
        assert entry["title"] and entry["type"]
        for author in entry["authors"]:
            assert set(author) in ({"name"}, {"family-names", "given-names"})


def test_the_workflow_and_ci_call_the_commands_of_the_readme():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["make"]
    commands = {f"make {command}" for command in job["strategy"]["matrix"]["command"]}
    assert commands == {"make test", "make course"}
    assert [step["run"] for step in job["steps"] if "run" in step] == ["make ${{ matrix.command }}"]
    readme, makefile = (ROOT / "README.md").read_text(encoding="utf-8"), (ROOT / "Makefile").read_text(encoding="utf-8")
    for command in ("course", "test", "lab", "bench"):
        assert f"make {command}" in readme and re.search(rf"^{command}:", makefile, re.MULTILINE)
    assert "exec make test" in (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


def test_no_registry_and_no_path_of_one_machine_is_named():
    # Written in two parts, so that this file does not name them either.
    hosts = ["py" + "pi.org", "python" + "hosted.org", "download." + "pytorch.org", "conda." + "anaconda.org"]
    own = ["/work" + "/main", "/work" + "/shared", "/work" + "/scratch"]
    for path in tracked_files():
        data = path.read_bytes()
        for name in [*hosts, *own]:
            assert name.encode() not in data, f"{path.relative_to(ROOT)} names {name}"


def test_no_data_set_is_committed():
    for path in tracked_files():
        assert path.suffix not in {".npz", ".npy", ".dat", ".hea", ".atr", ".h5"}, path
        assert path.stat().st_size < 3_000_000, f"{path.relative_to(ROOT)} is large"
