"""Every public name of the methods earns its place: a chapter shows it, or a test tries it and a chapter waits for it.

A name is shown where a cell, the text or an output of a chapter holds it. A name that no chapter shows yet says in its
docstring, or in that of its module, which chapter will ("chapter 08"), and has a test. What neither holds should go.
"""

import importlib
import inspect
import pkgutil
import re

import nbformat
import pytest
from conftest import ROOT

import tutorial_lib

PLANNED = re.compile(r"\b[Cc]hapters? (\d\d)\b")
RESERVED = range(17)  # the course's chapters, those to come included


def method_modules():
    """The modules of the ground floor, and the folders' own files; nothing private, nothing of the floors above."""
    for found in pkgutil.walk_packages(tutorial_lib.__path__, "tutorial_lib."):
        parts = found.name.split(".")[1:]
        if parts[0] not in ("lab", "course") and not any(part.startswith("_") for part in parts):
            yield importlib.import_module(found.name)


def public_names(module) -> list[str]:
    """What ``__all__`` lists. A module without one offers what it defines; a folder's file, what the folder lists."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    if module.__name__.count(".") > 1:
        return []
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_")]


def returned_types() -> set[str]:
    """Every name that the return annotation of some function of the package holds."""
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tutorial_lib").rglob("*.py"))
    return words_of(" ".join(re.findall(r"->([^:\n]+):", "\n".join(sources))))


def shown_by_a_chapter() -> str:
    """All that a reader of the chapters and their solutions sees: cells, text, and what the cells print."""
    parts = []
    for path in sorted((ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            parts.append(cell.source)
            for output in cell.get("outputs", ()):
                data = output.get("data", {})
                parts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "\n".join(parts)


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


NAMES = {
    f"{module.__name__.removeprefix('tutorial_lib.')}.{name}": (name, getattr(module, name))
    for module in method_modules()
    for name in public_names(module)
}
RETURNED = returned_types()
FUNCTIONS = {  # a class that some function returns explains itself there
    where: (name, value)
    for where, (name, value) in NAMES.items()
    if callable(value) and not (isinstance(value, type) and name in RETURNED)
}
SHOWN = words_of(shown_by_a_chapter())
TESTED = words_of(
    "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path.name != __file__)
)


def test_the_modules_are_found():
    homes = {where.rpartition(".")[0] for where in NAMES}
    assert {"mixup", "losses", "metrics", "roi", "boxes", "text", "augment", "networks"} <= homes
    assert len(FUNCTIONS) > 100


@pytest.mark.parametrize("where", FUNCTIONS)
def test_a_chapter_shows_it_or_waits_for_it(where):
    name, value = FUNCTIONS[where]
    if name in SHOWN:
        return
    own, home = inspect.getdoc(value) or "", inspect.getdoc(inspect.getmodule(value)) or ""
    waits = {int(number) for number in PLANNED.findall(own) or PLANNED.findall(home)}
    assert waits, f"{where} is in no chapter, and its docstring does not say which one will use it"
    assert waits <= set(RESERVED)
    assert name in TESTED, f"{where} is in no chapter and has no test"
