"""Folders of methods: every name is there, each loads its own file, and what type checkers read is what is there."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = sorted(path.parent for path in (ROOT / "tutorial_lib").rglob("__init__.pyi"))


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request):
    return request.param


def module_of(folder: Path):
    return importlib.import_module(".".join(folder.relative_to(ROOT).parts))


def test_every_name_is_where_the_stub_says(folder):
    module = module_of(folder)
    assert list(module.__all__) == sorted(set(module.__all__)) and set(module.__all__) <= set(dir(module))
    for node in ast.parse((folder / "__init__.pyi").read_text(encoding="utf-8")).body:
        for alias in node.names:
            assert alias.asname == alias.name  # else it is no public name for a type checker
            value = getattr(module, alias.name)
            assert value is getattr(importlib.import_module(node.module), alias.name)
            assert getattr(value, "__module__", node.module) in (node.module, "builtins")  # defined there
    with pytest.raises(AttributeError, match=f"'{module.__name__}' has no attribute 'no_such_name'"):
        getattr(module, "no_such_" + "name")
    with pytest.raises(ImportError, match="no_such_name"):
        exec(f"from {module.__name__} import no_such_name")


def test_no_name_hides_a_file(folder):
    files = {path.stem for path in folder.glob("*.py")}
    assert not files & set(module_of(folder).__all__)


@pytest.mark.parametrize("folder", [path for path in FOLDERS if path.name != "lab"], ids=lambda path: path.name)
def test_every_public_function_of_a_file_can_be_had_from_the_folder_or_is_used_in_it(folder):
    """Names without an underscore that the folder does not offer are shared between its files. (The laboratory offers
    what every chapter uses; what one chapter uses, such as its data, it takes from its file.)"""
    sources = {path: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    for path, source in sources.items():
        for node in ast.parse(source).body:
            name = getattr(node, "name", "_")
            if not name.startswith("_") and name not in module_of(folder).__all__:
                others = [other for other, text in sources.items() if other != path and name in text]
                assert others, f"{name} of {path.name} is neither offered nor shared"


@pytest.mark.parametrize(
    ("code", "loaded", "not_loaded"),
    [
        ("from tutorial_lib.text import clean", "text.cleaning", "torch scipy jieba tutorial_lib.text.vocabulary"),
        ("import tutorial_lib.text; tutorial_lib.text.Piece", "text.pieces", "torch numpy tutorial_lib.text.cleaning"),
        ("from tutorial_lib.augment import has_number", "augment.lexicon", "torch numpy tutorial_lib.augment.words"),
        ("from tutorial_lib.augment import eda, augment", "augment.records", "torch tutorial_lib.augment.embeddings"),
    ],
)
def test_a_name_loads_its_own_file(code, loaded, not_loaded):
    question = f"import sys; {code}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=True)
    names = set(done.stdout.split())
    assert f"tutorial_lib.{loaded}" in names and not names & set(not_loaded.split())
