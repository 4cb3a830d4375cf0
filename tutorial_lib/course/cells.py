"""What a notebook's code cells give to each other: names bound, names read, and the cells that another cell needs.

Nothing is executed: the answer is read from the syntax tree. Where that leaves a doubt, a cell too many is kept rather
than one too few; with these assumptions: a ``for`` loop runs at least once, a function changes none of the names of
the notebook unless it says ``global``, and a method called in the middle of a cell for its own sake
(``model.train()``) changes its object, while the last expression of a cell only shows something.
"""

import ast
import builtins
import re
import symtable
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

#: What is there in every notebook without being bound by a cell.
_GIVEN = {*dir(builtins), "get_ipython", "display", "exit", "quit", "In", "Out", "_", "__", "___", "__file__"}
#: What the body of a class is given besides.
_GIVEN |= {"__class__", "__module__", "__qualname__"}
_MUTATORS = frozenset(
    "add append appendleft backward clear discard eval extend fill fit insert load_state_dict manual_seed pop popitem "
    "popleft remove reverse seed set setdefault shuffle sort step train update zero_grad".split()
)
#: Functions that change what they are given first.
_CHANGING = {"delattr", "fit", "setattr", "shuffle"}
#: Cell magics whose body is Python, run in the notebook's own namespace.
_PYTHON_MAGICS = {"capture", "prun", "time", "timeit"}
#: What the symbol table calls the scopes that run where they stand.
_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def bound_and_free(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a code cell binds, and those that it reads without having bound them first.

    Args:
        source: the cell's text. IPython magics, ``!`` commands and ``?`` questions count as nothing; so does a whole
            cell with a syntax error.

    Returns:
        ``(bound, free)``. ``bound``: names that the cell may bind at top level; a star import gives ``"*"``.
        ``free``: names that it reads, also in the bodies of its functions, classes and comprehensions, and that it
        has not bound for certain by then; built-in names are left out.

    >>> bound, free = bound_and_free("total = [step * n for n in sizes]")
    >>> sorted(bound), sorted(free)
    (['total'], ['sizes', 'step'])
    """
    cell = _read(source)
    later = set().union(*cell.later.values())
    return set(cell.bound), (cell.reads | (later - cell.certain)) - _GIVEN


def needed(sources: Sequence[str], wanted: Iterable[int]) -> list[int]:
    """Return which code cells must have run for ``wanted`` to run: those that they depend on, and themselves.

    A cell depends on the latest earlier cell that binds a name it reads. A cell that changes an object (``x.y = …``,
    ``x[…] = …``, ``x += …``, ``x.append(…)``, ``del x``) or binds a name only perhaps (under an ``if``) counts as
    binding and reading it. What a function's body reads counts where the function is used.

    Args:
        sources: the code cells' texts, in order.
        wanted: indices into ``sources``.

    Returns:
        Indices, ascending.

    Raises:
        ValueError: if an index is outside ``sources``.

    >>> needed(["a = 1", "b = 2", "def f(): return a + c", "c = 3", "print(f())"], [4])
    [0, 2, 3, 4]
    """
    cells = [_read(source) for source in sources]
    wanted = sorted(set(wanted))
    for index in wanted:
        if not 0 <= index < len(cells):
            raise ValueError(f"wanted must hold indices of the {len(cells)} cells, got {index}")
    imported = set().union(*(cell.imported for cell in cells)) - set().union(*(cell.made for cell in cells))
    found, seen = set(wanted), set()
    todo: list[tuple[str, int, int]] = []

    def want(names: Iterable[str], before: int, used: int) -> None:
        todo.extend((name, before, used) for name in names)

    for index in wanted:
        cell = cells[index]
        want(cell.reads | cell.changed(imported) | (cell.bound - cell.certain), index, index)
        want(set().union(*cell.later.values()), index, index)
    while todo:
        state = name, before, used = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        for index in range(before - 1, -1, -1):
            cell = cells[index]
            touches = name in cell.bound or name in cell.changed(imported) or "*" in cell.bound
            if not touches:
                continue
            found.add(index)
            want(cell.reads | cell.changed(imported) | (cell.bound - cell.certain - {"*"}), index, used)
            # The body of a function runs when somebody calls it: by the cell that asked, or by the one that asked that.
            for place in {before, used}:
                want(cell.later.get(name, set()) | cell.later.get("", set()), place, used)
            if name in cell.certain:
                break
    return sorted(found)


@dataclass
class _Cell:
    bound: set[str] = field(default_factory=set)
    certain: set[str] = field(default_factory=set)
    reads: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)  # bound by anything but an import
    assigned_into: set[str] = field(default_factory=set)
    called_upon: set[str] = field(default_factory=set)
    later: dict[str, set[str]] = field(default_factory=dict)  # what the body of a function reads; "": of any lambda

    def changed(self, modules: set[str]) -> set[str]:
        # `plt.show()` and `torch.manual_seed(0)` look like `net.eval()`, but say nothing about what plt means.
        return self.assigned_into | (self.called_upon - modules)


@lru_cache(maxsize=2048)  # a notebook's cells are asked for again with each exercise
def _read(source: str) -> _Cell:
    try:
        source, tree = _parse(source)
        reader = _Reader(source)
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            reader.shown = tree.body[-1]
        reader.block(tree.body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _Cell()
    return reader.cell


def _parse(source: str) -> tuple[str, ast.Module]:
    """Return a cell's Python, where magics and commands do nothing, and its syntax tree."""
    try:
        return source, ast.parse(source)
    except SyntaxError:
        pass
    lines = source.split("\n")
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    if magic := re.match(r"%%(\w+)", lines[first]):
        if magic[1] not in _PYTHON_MAGICS:
            return "", ast.Module([], [])
        lines[first] = ""
    for place, line in enumerate(lines):
        if re.match(r"\s*([%!?]|[\w.]+\?{1,2}\s*$)", line):
            lines[place] = line[: len(line) - len(line.lstrip())] + "pass"
        else:
            lines[place] = re.sub(r"^(\s*[\w, ]+=\s*)[%!].*$", r"\1None", line)
    source = "\n".join(lines)
    return source, ast.parse(source)


class _Reader(ast.NodeVisitor):
    """Walks through a cell's top level, or the body of a class, in the order in which it runs."""

    def __init__(self, source: str, *, is_class: bool = False):
        self.source, self.is_class = source, is_class
        self.cell = _Cell()
        self.hidden: list[set[str]] = []  # the targets of the comprehensions around
        self.shown: ast.Expr | None = None

    def block(self, body: Iterable[ast.AST]) -> set[str]:
        for part in body:
            self.visit(part)
        return set(self.cell.certain)

    def branches(self, *bodies: list, others: bool = False) -> None:
        """Visit bodies of which one runs (``others``: or none); what all of them bind is bound for certain."""
        before = set(self.cell.certain)
        after = [before] if others else []
        for body in bodies:
            self.cell.certain = set(before)
            end = self.block(body)
            if not _leaves(body):
                after.append(end)
        self.cell.certain = set.intersection(*after) if after else before

    def bind(self, name: str, *, imported: bool = False) -> None:
        self.cell.bound.add(name)
        self.cell.certain.add(name)
        (self.cell.imported if imported else self.cell.made).add(name)

    def read(self, name: str, seen: frozenset[str] = frozenset()) -> None:
        if any(name in names for names in self.hidden) or name in seen:
            return
        if name not in self.cell.certain:
            self.cell.reads.add(name)
        # A function of this cell that is used here may run here.
        for inner in () if self.is_class else self.cell.later.get(name, ()):
            self.read(inner, seen | {name})

    def change(self, node: ast.expr | None, into: set[str]) -> None:
        name = _root(node)
        if name and not any(name in names for names in self.hidden) and name not in self.cell.certain:
            into.add(name)

    # --- names ---

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Load):
            self.read(node.id)
        elif isinstance(node.ctx, ast.Store):
            self.bind(node.id)
        else:
            self.read(node.id)
            self.change(node, self.cell.assigned_into)
            self.cell.certain.discard(node.id)

    def visit_Attribute(self, node):
        if not isinstance(node.ctx, ast.Load):
            self.change(node, self.cell.assigned_into)
        self.generic_visit(node)

    visit_Subscript = visit_Attribute

    def visit_Call(self, node):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        in_place = name.endswith("_") and not name.endswith("__")
        if isinstance(function, ast.Attribute) and (name in _MUTATORS or in_place):
            self.change(function, self.cell.called_upon)
        if node.args and (name in _CHANGING or in_place):
            self.change(node.args[0], self.cell.assigned_into)
        self.generic_visit(node)

    def visit_Expr(self, node):
        if node is not self.shown and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
            self.change(node.value.func, self.cell.called_upon)
        self.generic_visit(node)

    # --- statements that bind ---

    def visit_Import(self, node):
        for alias in node.names:
            self.bind(alias.asname or alias.name.split(".")[0], imported=True)

    def visit_ImportFrom(self, node):
        for alias in node.names:
            if node.module == "__future__":
                continue
            if alias.name == "*":
                self.cell.bound.add("*")
            else:
                self.bind(alias.asname or alias.name, imported=True)

    def visit_Assign(self, node):
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AugAssign(self, node):
        if isinstance(node.target, ast.Name):
            self.read(node.target.id)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node):
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.visit(node.target)

    def visit_NamedExpr(self, node):
        self.visit(node.value)
        self.bind(node.target.id)

    def visit_TypeAlias(self, node):
        # Its value is looked at when somebody asks for it.
        self.cell.later[node.name.id] = _scopes(self.source, node)[0]
        self.bind(node.name.id)

    def _definition(self, node):
        self.hidden.append({known.name for known in getattr(node, "type_params", ())})
        for part in _outside(node):
            self.visit(part)
        if isinstance(node, ast.ClassDef):
            inner = _Reader(self.source, is_class=True)
            inner.hidden = [*self.hidden]
            inner.block(node.body)
            for name in inner.cell.reads:
                self.read(name)
        self.hidden.pop()
        self.cell.later[node.name], sets = _scopes(self.source, node)
        self.cell.bound |= sets
        self.cell.made |= sets
        self.bind(node.name)
        if node.decorator_list and not self.is_class:
            # A decorator may call what it is given.
            self.read(node.name)

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _definition

    def visit_Lambda(self, node):
        for part in _outside(node):
            self.visit(part)
        free = _scopes(self.source, node)[0] - set().union(*self.hidden)
        self.cell.later.setdefault("", set()).update(free)
        for name in () if self.is_class else free:
            self.read(name)

    def _comprehension(self, node):
        first, *others = node.generators
        self.visit(first.iter)
        self.hidden.append(_targets(node))
        certain = self.cell.certain
        if self.is_class:
            # All but the first iterable is a scope of its own, which does not see the names of the class.
            self.cell.certain = set()
        for part in (*(generator.iter for generator in others), *_inside(node)):
            self.visit(part)
        self.cell.certain = certain | self.cell.certain
        self.hidden.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    # --- statements that branch ---

    def visit_If(self, node):
        self.visit(node.test)
        self.branches(node.body, node.orelse)

    def visit_For(self, node):
        self.visit(node.iter)
        self.visit(node.target)
        self.block(node.body)
        self.block(node.orelse)

    visit_AsyncFor = visit_For

    def visit_While(self, node):
        self.visit(node.test)
        before = set(self.cell.certain)
        self.block(node.body)
        if not (isinstance(node.test, ast.Constant) and node.test.value):
            self.cell.certain = before
        self.block(node.orelse)

    def visit_With(self, node):
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.visit(item.optional_vars)
        calls = [item.context_expr.func for item in node.items if isinstance(item.context_expr, ast.Call)]
        if any(getattr(call, "attr", getattr(call, "id", "")) == "suppress" for call in calls):
            self.branches(node.body, others=True)
        else:
            self.block(node.body)

    visit_AsyncWith = visit_With

    def visit_Try(self, node):
        self.branches([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        self.block(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node):
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self.cell.certain.add(node.name)
        self.block(node.body)
        self.cell.certain.discard(node.name)

    def visit_Match(self, node):
        self.visit(node.subject)
        last = node.cases[-1]
        irrefutable = last.guard is None and isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None
        self.branches(*([case] for case in node.cases), others=not irrefutable)

    def visit_match_case(self, node):
        self.visit(node.pattern)
        if node.guard is not None:
            self.visit(node.guard)
        self.block(node.body)

    def visit_MatchAs(self, node):
        self.generic_visit(node)
        if node.name:
            self.bind(node.name)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node):
        self.generic_visit(node)
        if node.rest:
            self.bind(node.rest)


def _scopes(source: str, node: Any) -> tuple[set[str], set[str]]:
    """Say what a definition has to do with the notebook's names, by Python's own rules for scopes.

    Args:
        source: the cell.
        node: a function, a lambda, a class, or a type alias in it.

    Returns:
        The names that the body of the function, or the class's methods, reads; and those that ``global`` lets it bind.
    """
    text, name = ast.get_source_segment(source, node) or "", None
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        lines, name = re.split(r"\r\n|\r|\n", source), node.name
        text = "\n".join(["if True:"] * bool(node.col_offset) + lines[node.lineno - 1 : node.end_lineno])
    elif isinstance(node, ast.Lambda):
        text = f"(\n{text}\n)"
    # To the symbol table these two only bind.
    changed = {_root(part.target) for part in ast.walk(node) if isinstance(part, ast.AugAssign)}
    changed |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Del)}
    reads, sets = set(), set()

    def look(table: symtable.SymbolTable, called: bool) -> None:
        called = called or (table.get_type() == "function" and table.get_name() not in _COMPREHENSIONS)
        for symbol in table.get_symbols():
            name, binds = symbol.get_name(), symbol.is_assigned() or symbol.is_imported()
            # What a scope binds is its own unless it says otherwise; a scope called "top" passes for the module here.
            if symbol.is_declared_global() or (symbol.is_global() and not binds and not symbol.is_parameter()):
                if binds:
                    sets.add(name)
                if called and (symbol.is_referenced() or (binds and name in changed)):
                    reads.add(name)
        for inner in table.get_children():
            look(inner, called)

    for table in symtable.symtable(text, "<cell>", "exec").get_children():
        # Defaults, decorators and bases are read where the definition stands.
        if name in (None, table.get_name()):
            look(table, not isinstance(node, ast.ClassDef))
    return reads, sets


def _root(node: ast.AST | None) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _leaves(body: list) -> bool:
    """Whether what follows a branch is not reached through it."""
    last = body[-1] if body else None
    if isinstance(last, ast.ExceptHandler | ast.match_case):
        last = last.body[-1]
    return isinstance(last, ast.Raise | ast.Return | ast.Break | ast.Continue)


def _outside(node: Any) -> Iterator[ast.expr]:
    """What a definition evaluates where it stands: decorators, defaults, annotations, bases."""
    yield from getattr(node, "decorator_list", ())
    if isinstance(node, ast.ClassDef):
        yield from node.bases
        yield from (keyword.value for keyword in node.keywords)
        return
    yield from (part for part in (*node.args.defaults, *node.args.kw_defaults) if part is not None)
    yield from (part.annotation for part in ast.walk(node.args) if isinstance(part, ast.arg) and part.annotation)
    if getattr(node, "returns", None) is not None:
        yield node.returns


def _targets(node: Any) -> set[str]:
    return {
        part.id
        for generator in node.generators
        for part in ast.walk(generator.target)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


def _inside(node: Any) -> Iterator[ast.expr]:
    yield from (condition for generator in node.generators for condition in generator.ifs)
    yield from (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
