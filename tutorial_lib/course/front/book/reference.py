"""The reference: a page a module, from the docstrings of every public name, with its chapters and its tests."""

import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import tutorial_lib
from tutorial_lib.course.front.book.chapters import Page

_UPPER = ("lab", "course")


def public_modules() -> Iterator[str]:
    """Yield the names of the modules whose names are public: the methods, and the folders of methods."""
    for found in pkgutil.iter_modules(tutorial_lib.__path__, "tutorial_lib."):
        name = found.name.removeprefix("tutorial_lib.")
        if name not in _UPPER and not name.startswith("_"):
            yield found.name


def public_names(module) -> list[str]:
    """Return a module's public names: what ``__all__`` lists, else what it defines.

    Args:
        module: an imported one.
    """
    if hasattr(module, "__all__"):
        return list(module.__all__)
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_")]


class Places:
    """Where each word stands: in which chapters, and in which tests.

    Args:
        pages: the chapters.
        root: the checkout, with its ``tests`` folder.
    """

    def __init__(self, pages: Sequence[Page], root: Path):
        self.chapters = {page.chapter.name: (page, set(re.findall(r"\w+", page.text))) for page in pages}
        paths = sorted((root / "tests").rglob("test_*.py"))
        self.tests = {path: Counter(re.findall(r"\w+", path.read_text(encoding="utf-8"))) for path in paths}
        self.root = root

    def shown(self, name: str, most: int = 3) -> list[Page]:
        """Return the chapters whose text or code holds a name, the one that holds it most first."""
        found = [page for page, words in self.chapters.values() if name in words]
        return sorted(found, key=lambda page: -len(re.findall(rf"\b{name}\b", page.text)))[:most]

    def tested(self, name: str) -> str:
        """Return the test file that holds a name most often, as a path in the checkout; empty if none does."""
        # tests/test_devices.py calls everything; it is no test of one thing.
        counted = {path: words[name] for path, words in self.tests.items() if path.stem != "test_devices"}
        best = max(counted, key=lambda path: (counted[path], -len(path.parts)), default=None)
        return best.relative_to(self.root).as_posix() if best and counted[best] else ""


def module_page(module_name: str, places: Places, source: str) -> tuple[str, list[str]]:
    """Return a module's page in reStructuredText, and the names on it.

    Args:
        module_name: of a public module.
        places: where names are shown and tested.
        source: where the repository's files can be read; empty if nowhere.
    """
    module = importlib.import_module(module_name)
    names = public_names(module)
    title = module_name
    parts = [f"{title}\n{'=' * len(title)}", f".. automodule:: {module_name}\n   :no-members:"]
    if names:
        parts.append(f".. currentmodule:: {module_name}")
    others = {name: other for name in names if (other := home(getattr(module, name))) and other != module_name}
    if others:
        role = {name: "class" if inspect.isclass(getattr(module, name)) else "func" for name in others}
        links = ", ".join(f":{role[name]}:`{name} <{other}.{name}>`" for name, other in others.items())
        parts.append(f"Can be imported from here, too: {links}.")
    for name in names:
        value = getattr(module, name)
        if name in others:
            continue
        if inspect.isclass(value):
            kind, options = "autoclass", ["   :members:", "   :no-undoc-members:"]
        elif inspect.isroutine(value):
            kind, options = "autofunction", []
        else:
            # Autodoc would show the docstring of its type.
            said = comment(module, name) or [
                f"``{value!r}``" if len(repr(value)) < 100 else f"A {type(value).__name__}."
            ]
            kind, options = "py:data", ["", *(f"   {line}" for line in said)]
        where = name if kind == "py:data" else f"{module_name}.{name}"  # autodoc takes the module off by itself
        parts.append("\n".join([f".. {kind}:: {where}", *options]))
        if line := _line(name, places, source):
            parts.append(f"   {line}")
    return "\n\n".join(parts) + "\n", names


def home(value) -> str:
    """Return the public module that has a function or class of ours on its page; empty for all else.

    Args:
        value: a public name's.
    """
    made = getattr(value, "__module__", "") if callable(value) else ""
    return next((name for name in public_modules() if f"{made}.".startswith(f"{name}.")), "")


def comment(module, name: str) -> list[str]:
    """Return the comment above a constant, as the lines that it has.

    Args:
        module: the constant's, or the folder that offers it.
        name: the constant.
    """
    folder = Path(module.__file__).parent
    own = [Path(module.__file__)] if module.__name__.count(".") == 1 and not hasattr(module, "__path__") else []
    for path in own or sorted(folder.glob("*.py")):
        if match := re.search(rf"((?:^#.*\n)+)^{name}\b[^\n(]*=", path.read_text(encoding="utf-8"), re.MULTILINE):
            return [re.sub(r"^#:? ?", "", line) for line in match[1].splitlines()]
    return []


def _line(name: str, places: Places, source: str) -> str:
    parts = []
    if shown := places.shown(name):
        links = ", ".join(f":doc:`{_short(page)} </{page.chapter.name}>`" for page in shown)
        parts.append(f"Shown in chapter{'s' * (len(shown) > 1)} {links}")
    if tested := places.tested(name):
        parts.append(f"tested in `{tested} <{source}/{tested}>`__" if source else f"tested in {tested}")
    line = "; ".join(parts)
    return f".. container:: places\n\n      {line[:1].upper()}{line[1:]}." if line else ""


def _short(page: Page) -> str:
    return f"{page.chapter.number:02d}" if page.chapter.number is not None else page.chapter.title


def index_page(modules: Sequence[str]) -> str:
    """Return the reference's first page.

    Args:
        modules: names of modules.
    """
    rows = []
    for name in modules:
        about = (inspect.getdoc(importlib.import_module(name)) or "").partition("\n\n")[0]
        sentence = re.split(r"(?<=[.])\s", " ".join(about.split()))[0]
        rows.append(f"* - :doc:`{name} <{name.removeprefix('tutorial_lib.')}>`\n     - {sentence}")
    tree = "\n".join(f"   {name.removeprefix('tutorial_lib.')}" for name in modules)
    return (
        "Reference\n=========\n\n"
        "Every public name of the package, a page a module. A name is told by its docstring: the formula, the "
        "arguments with their shapes and units, the errors, the paper, and an example that the tests run. *[source]* "
        "beside a name shows its code; below it stand the chapters that use it and the file that tests it.\n\n"
        ".. list-table::\n   :widths: 30 70\n   :class: modules\n\n   " + "\n   ".join(rows) + "\n\n"
        f".. toctree::\n   :hidden:\n\n{tree}\n"
    )
