"""The sdist and the wheel: what is in them, and that a wheel made of the sdist is the wheel made of the checkout."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT

#: In place of a front end: the backend's own call, in this environment, without the network.
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def build(kind: str, tree: Path, out: Path) -> Path:
    out.mkdir()
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return out / done.stdout.split()[-1]


def files_of_wheel(path: Path) -> set[str]:
    return {name for name in zipfile.ZipFile(path).namelist() if not name.endswith("/")}


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """What git has here, and what is new and would be added."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    if done.returncode:
        pytest.skip(f"{ROOT} is no git checkout")
    return {name for name in done.stdout.splitlines() if (ROOT / name).is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory, tracked):
    """The sdist's files, and those of two wheels: of the checkout, and of the sdist."""
    version = pytest.importorskip("setuptools", reason="no setuptools to build with").__version__
    if int(version.partition(".")[0]) < 77:
        pytest.skip(f"pyproject.toml asks for setuptools 77 or newer, here is {version}")
    folder = tmp_path_factory.mktemp("packages")
    tree = folder / "tree"
    for name in tracked:
        if name.split("/")[0] not in ("notebooks", "docs", "benchmarks"):  # no part of either, and large
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    for junk in ("build/book/html/index.html", "runs/latest/index.html"):
        (tree / junk).parent.mkdir(parents=True)
        (tree / junk).write_text("made here, and no part of the package")
    with tarfile.open(build("sdist", tree, folder / "sdist")) as archive:
        archive.extractall(folder / "unpacked", filter="data")
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    (unpacked,) = (folder / "unpacked").iterdir()
    wheels = [files_of_wheel(build("wheel", one, folder / f"wheel of {one.name}")) for one in (tree, unpacked)]
    return names, *wheels


def test_a_wheel_of_the_sdist_is_the_wheel_of_the_checkout(built):
    _, of_tree, of_sdist = built
    assert of_tree == of_sdist


def test_the_wheel_holds_the_package_and_the_evidence_and_no_more(built, tracked):
    _, wheel, _ = built
    code = {name for name in tracked if name.startswith(("tutorial_lib/", "data_scripts/"))}
    stored = {Path(name).name for name in tracked if name.startswith("results/") and name.endswith(".json")}
    assert {name for name in wheel if name.startswith(("tutorial_lib/", "data_scripts/"))} == code
    assert {Path(name).name for name in wheel if ".data/data/share/tutorial_lib/results/" in name} == stored
    assert {name.split("/")[0].rpartition(".")[2] for name in wheel} == {
        "tutorial_lib",
        "data_scripts",
        "data",
        "dist-info",
    }


def test_the_sdist_holds_what_the_wheel_is_made_of_and_no_half_of_the_tests(built, tracked):
    sdist, wheel, _ = built
    assert {name for name in wheel if name.startswith(("tutorial_lib/", "data_scripts/"))} <= sdist
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md"} <= sdist
    made = {"PKG-INFO", "setup.cfg"} | {name for name in sdist if ".egg-info/" in name}
    assert sdist - made <= tracked
    assert not [name for name in sdist if name.startswith(("tests/", "notebooks/", "build/", "runs/"))]
