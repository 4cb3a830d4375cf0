"""What repo2docker (Binder) reads here; without a container engine, the facts of its files.

Checked by hand with repo2docker 2026.4.0 itself, which is too large for the tests: it takes its conda build pack, and
copies the whole repository before it installs, because environment.yml asks pip for this folder.
"""

import re
import tomllib

import pytest
import yaml
from conftest import ROOT
from packaging.specifiers import SpecifierSet

ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
#: In repo2docker's order: a file of an earlier line would take the place of environment.yml, or hide it.
ELSEWHERE = ["binder", ".binder", "Dockerfile", "default.nix", "Project.toml", "JuliaProject.toml"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_environment_yml_is_what_binder_builds(name):
    assert not (ROOT / name).exists()


def test_binder_is_told_its_python():
    """repo2docker reads ``python=3.N`` only; from any other form it starts with its default, which can be too old."""
    items = [item for item in ENVIRONMENT["dependencies"] if isinstance(item, str)]
    (line,) = [item for item in items if re.match(r"python\b(?!-)", item)]
    version = re.fullmatch(r"python=(3\.\d+)", line)
    assert version, line
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert version[1] in SpecifierSet(project["requires-python"])


def test_the_package_is_installed_from_the_copy_that_binder_stages():
    (pip,) = [item["pip"] for item in ENVIRONMENT["dependencies"] if isinstance(item, dict)]
    assert "-e ." in pip


def test_what_binder_would_run_can_be_run():
    """None is needed today. One that is added must be executable and start with an interpreter's line."""
    for name in ("postBuild", "start"):
        path = ROOT / name
        if path.exists():
            assert path.stat().st_mode & 0o111 and path.read_bytes().startswith(b"#!")
