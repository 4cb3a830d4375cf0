"""Every public name says what goes in, what comes out, and how it is used.

A function names each argument under ``Args:``, what it gives under ``Returns:`` (or ``Yields:``), and has an example
that pytest runs. A class names its arguments, or its attributes; a field of a named tuple may also be told by the
string below it. A method is a function without an example; what goes into ``forward`` may stand under the class's
``Shape:``. What a name does stands in its first line, which ends like a sentence.
"""

import ast
import dataclasses
import inspect
import re
import textwrap

import pytest
from test_public_names import NAMES

#: Examples would need what the tests must not: a model or a file from elsewhere.
WITHOUT_EXAMPLE = {
    "hf_fill",
    "hf_generate",
    "hf_translate",
    "pretrained_efficientnet_lite",
    "read_backbones",
    "residue_targets",
    "spacy_parser",
    "wordnet_synonyms",
    "WordNetSynonyms",
}
SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Shape|References|Example|Note):\s*$")


def entries(doc: str, *titles: str) -> dict[str, str]:
    """The names that sections of a docstring tell of, each with its words."""
    found, inside, last = {}, False, ()
    for line in doc.splitlines():
        if line and not line.startswith(" "):
            match = SECTION.match(line)
            inside = bool(match) and match[1] in titles
        elif inside and (match := re.match(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*): (\S.*)$", line)):
            last = match[1].replace("*", "").split(", ")
            found |= dict.fromkeys(last, match[2])
    return found


def told_below(cls: type) -> set[str]:
    """The fields of a class that a string below them tells."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    pairs = zip(tree.body, tree.body[1:])
    return {
        one.target.id
        for one, below in pairs
        if isinstance(one, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
    }


def parameters(function) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:
        return []
    return [name for name in names if name not in ("self", "cls") and not name.startswith("_")]


def gives(function) -> bool:
    return inspect.signature(function).return_annotation not in (None, "None", inspect.Signature.empty)


def faults_of(function, doc: str, *, shape: bool = False) -> list[str]:
    if shape or "are those of :meth:" in doc:
        return []
    told = entries(doc, "Args")
    faults = [f"{name} is not told under Args" for name in parameters(function) if name not in told]
    if gives(function) and not re.search(r"^(Returns|Yields):\s*$", doc, re.M):
        faults.append("no Returns")
    return faults


def methods(cls: type):
    """The public methods and properties that the class itself defines, and no base from elsewhere asks for."""
    foreign = [base for base in cls.__mro__[1:] if not base.__module__.startswith("tutorial_lib")]
    for name, value in vars(cls).items():
        made = getattr(value, "__func__", getattr(value, "fget", value))
        code = inspect.isroutine(made) or isinstance(value, property)
        if not name.startswith("_") and code and (name == "forward" or not any(hasattr(b, name) for b in foreign)):
            yield name, value, inspect.unwrap(made)


CALLED = {where: value for where, (_, value) in NAMES.items() if inspect.isclass(value) or inspect.isroutine(value)}
#: A class whose instances a function makes, and a reader only looks at.
RESULTS = {value for value in CALLED.values() if inspect.isclass(value) and (value.__doc__ or "").startswith("What ")}


def test_the_parser_of_docstrings_finds_what_is_told():
    doc = "One.\n\nArgs:\n    a, b: two numbers,\n        both: large.\n    *more: others.\n\nReturns:\n    Not: this."
    assert entries(doc, "Args") == {"a": "two numbers,", "b": "two numbers,", "more": "others."}
    assert faults_of(lambda a, c: 0, doc) == ["c is not told under Args"]
    assert len(CALLED) > 150


@pytest.mark.parametrize("where", CALLED)
def test_it_says_what_goes_in_and_what_comes_out(where):
    value = CALLED[where]
    name, doc = where.rpartition(".")[2], inspect.getdoc(value) or ""
    first = doc.partition("\n\n")[0]
    assert re.search(r"[.:][\")]*$", first), f"{where}: the first line is no sentence: {first!r}"
    if not inspect.isclass(value):
        faults = faults_of(inspect.unwrap(value), doc)
    else:
        told = {**entries(doc, "Args", "Attributes"), **dict.fromkeys(told_below(value), "")}
        wanted = list(getattr(value, "_fields", [])) if value in RESULTS else parameters(value)
        faults = [f"{one} is not told" for one in wanted if one not in told]
        for method, member, function in methods(value):
            own = inspect.getdoc(member) or ""
            if isinstance(member, property):
                faults += [] if own or method in told else [f".{method} has no docstring"]
            else:
                shape = method == "forward" and "Shape:" in doc
                faults += [f".{method}: {fault}" for fault in faults_of(function, own, shape=shape)]
    data = inspect.isclass(value) and (dataclasses.is_dataclass(value) or hasattr(value, "_fields") or value in RESULTS)
    if not data and name not in WITHOUT_EXAMPLE and ">>>" not in doc:
        faults.append("no example")
    assert faults == [], where


def test_no_name_is_excused_without_need():
    by_name = {where.rpartition(".")[2]: value for where, value in CALLED.items()}
    assert [name for name in WITHOUT_EXAMPLE if ">>>" in (inspect.getdoc(by_name[name]) or "")] == []
