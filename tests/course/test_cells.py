"""What cells bind and read: every way Python has of binding a name, and slices of whole notebooks that must run."""

import ast
import builtins
import contextlib
import dis
import io
import sys
import types

import nbformat
import pytest
from conftest import ROOT

from tutorial_lib.course.cells import bound_and_free, needed


@pytest.mark.parametrize(
    ("source", "bound", "free"),
    [
        ("x = y", "x", "y"),
        ("x = 1\ny = x", "x y", ""),
        ("y = x\nx = 1", "x y", "x"),
        ("x += 1", "x", "x"),
        ("x: int = y", "x", "y"),
        ("x: T", "", "T"),
        ("a, (b, *c), d.e, f[g] = h", "a b c", "d f g h"),
        ("print(len(x), get_ipython(), display(y))", "", "x y"),
        ("import a, b.c, d.e as f\nfrom g import h, i as j\nfrom .k import l", "a b f h j l", ""),
        ("from a import *\nb", "*", "b"),
        ("from __future__ import annotations", "", ""),
        ("for i, x in enumerate(xs): y = i\nprint(i, y)", "i x y", "xs"),
        ("for i in a: pass\nelse: b = c", "i b", "a c"),
        ("while a: b = 1\nprint(b)", "b", "a b"),
        ("while True:\n    b = 1\n    break\nprint(b)", "b", ""),
        ("with open(p) as f, g as (h, i): x = f.read()\nx", "f h i x", "p g"),
        ("with suppress(E): x = 1\nx", "x", "suppress E x"),
        ("if a: x = 1\nprint(x)", "x", "a x"),
        ("if a: x = 1\nelse: x = 2\nprint(x)", "x", "a"),
        ("if a: x = 1\nelse: raise E\nprint(x)", "x", "a E"),
        ("try:\n    import a\nexcept ImportError as e:\n    print(e)\n    a = None\nprint(a, e)", "a", "e"),
        ("try:\n    x = f()\nexcept E: raise\nfinally: y = 1\nprint(x, y)", "x y", "f E"),
        ("try:\n    x = f()\nexcept E: pass\nprint(x)", "x", "f E x"),
        ("try:\n    x = f()\nexcept* E: pass", "x", "f E"),
        ("print(n := f(), n)", "n", "f"),
        ("[y for x in xs if (y := x)]\ny", "y", "xs"),
        ("[x + k for x in x]", "", "x k"),
        ("{a: b for a in c for b in a if d}", "", "c d"),
        ("[[x for x in row] for row in table]\nx", "", "table x"),
        ("list(x for x in y)", "", "y"),
        ("def f(a, *b, c=d, **e) -> g: return a + b + c + e + h", "f", "d g h"),
        ("def f(a: T = k): x = 1; x += y; return x", "f", "T k y"),
        ("@deco(arg)\ndef f(): return x", "f", "deco arg x"),
        ("def f(): return f()", "f", ""),
        ("def f(): return g()\ndef g(): return 1\nf()", "f g", ""),
        ("def f(): return g()\nf()\ndef g(): return 1", "f g", "g"),
        ("def f(): return g()\ndef g(): return 1", "f g", ""),
        ("def f(): return x\nx = 1\nf()", "f x", ""),
        ("def f(): return x\nf()\nx = 1", "f x", "x"),
        ("def f():\n    global x\n    x = y", "f x", "y"),
        ("def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += m\n    return g", "f", "m"),
        ("def f(): return [x for x in a if x in b], x", "f", "a b x"),
        ("def f():\n    import os.path\n    return os, sys", "f", "sys"),
        ("def f(v):\n    match v:\n        case [a, *r]: return a, r, q\n        case {'k': k, **o}: k, o", "f", "q"),
        ("def f():\n    try: pass\n    except E as e: return e", "f", "E"),
        ("async def f(): return await x", "f", "x"),
        ("f = lambda a, b=c: a + b + d", "f", "c d"),
        ("class A(B, metaclass=M):\n    x = y\n    z = x\n    def f(self): return x, k", "A", "B M y x k"),
        ("@deco\nclass A: pass", "A", "deco"),
        ("def f():\n    class A(B):\n        x = y\n    return A", "f", "B y"),
        (
            "match v:\n    case P(a) as b if c: x = a\n    case {'k': d, **e}: x = 1\n    case [f, *g]: x = 2\n"
            "    case _: x = 3\nx",
            "a b d e f g x",
            "v P c",
        ),
        ("match v:\n    case 1: x = a\nx", "x", "v a x"),
        ("del x", "", "x"),
        ("x = 1\ndel x\nx", "x", "x"),
        ("x.y = 1; z[k] = 2; w.append(v)", "", "x z k w v"),
        ("%matplotlib inline\n!pip install a\nx = !ls {y}\nz = %timeit w\nlen?\nif x:\n    %time y", "x z", ""),
        ("%%time\nx = y", "x", "y"),
        ("%%bash\necho x", "", ""),
        ("s = '''\n%d'''\nx", "s", "x"),
        ("await f()", "", "f"),
        ("x = = 1", "", ""),
        ("x = '\0'", "", ""),
        ("x = " + "(" * 3000 + ")" * 3000, "", ""),
        ("", "", ""),
        ("# only a comment", "", ""),
        ("f'{x!r:{width}}'", "", "x width"),
        ("max = 3\nmax", "max", ""),
        # Scopes as Python has them: a comprehension sees the names around it, but not those of a class.
        ("class A:\n    n = 2\n    x = [n for _ in xs]", "A", "n xs"),
        ("class A:\n    xs = 1, 2\n    y = [x for x in xs]", "A", ""),
        ("class A:\n    x = x", "A", "x"),
        ("class A:\n    x = 1\n    y = x", "A", ""),
        ("class A:\n    x = 1\n    f = lambda self: x", "A", "x"),
        ("class A:\n    x: T\n    y: x = z", "A", "T x z"),
        ("class A:\n    def f(self):\n        return super().f() + __class__.n", "A", ""),
        ("class A:\n    def f(self):\n        global n\n        n += 1", "A n", "n"),
        ("class A:\n    class B:\n        x = y\n    def f(self): return B", "A", "y B"),
        ("class A:\n    for i in xs: x = i\n    z = x + i", "A", "xs"),
        ("class A:\n    if a: x = 1\n    y = x", "A", "a x"),
        ("class A:\n    @property\n    def f(self): return k\nk = 1", "A k", ""),
        ("if a:\n    class A:\n        def f(self):\n            return x", "A", "a x"),
        ("def f():\n    global x\n    return x", "f", "x"),
        ("def f():\n    global x, y\n    x += 1\n    del y", "f x y", "x y"),
        ("def f():\n    x = 1\n    del x\n    x", "f", ""),
        ("def f():\n    def g():\n        global n\n        n = 1\n    n = 2\n    return n", "f n", ""),
        ("def f():\n    if (n := g()): return [m := x for x in n], m", "f", "g"),
        (
            "def f(v):\n    match v:\n        case A(b=c) | [c, _]: return b, c, _\n        case m.D: return d",
            "f",
            "A b m d",
        ),
        ("def top(a):\n    import c\n    b = a\n    return a, b, c, d", "top", "d"),
        ("def f(a=[x for x in b]): return x", "f", "b x"),
        ("f = [lambda: x + k for x in xs]", "f", "k xs"),
        ("def f():\n    return (\nx\n)", "f", "x"),
        ("s = 'ä'; f = lambda: (\n  x,\n  'ö', y)", "s f", "x y"),
    ],
)
def test_what_a_cell_binds_and_reads(source, bound, free):
    assert bound_and_free(source) == (set(bound.split()), set(free.split()))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python 3.12 has type parameters")
@pytest.mark.parametrize(
    ("source", "bound", "free"),
    [
        ("def f[T: B](x: T, y: U) -> T: return [T, k]", "f", "B U k"),
        ("class A[T](Base[T], key=k):\n    def f(self) -> T: return x", "A", "Base k x"),
        ("type A[T] = dict[T, B]", "A", "B"),
    ],
)
def test_type_parameters_are_nobody_elses_names(source, bound, free):
    assert bound_and_free(source) == (set(bound.split()), set(free.split()))


def test_a_function_reads_what_its_bytecode_looks_up():
    """Every function of this floor, held against the compiler."""

    def looked_up(code: types.CodeType) -> set[str]:
        names = {one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_GLOBAL"}
        return names.union(*(looked_up(part) for part in code.co_consts if isinstance(part, types.CodeType)))

    count = 0
    for path in sorted((ROOT / "tutorial_lib" / "course").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                every = [ast.arg(one.arg) for one in ast.walk(node.args) if isinstance(one, ast.arg)]
                arguments = ast.arguments([], every, None, [], [], None, [])
                alone = ast.unparse(ast.FunctionDef(node.name, arguments, node.body, [], None, lineno=1))
                try:
                    code = compile(alone, "alone", "exec")
                except SyntaxError:
                    continue  # it says "nonlocal"
                names = looked_up(next(part for part in code.co_consts if isinstance(part, types.CodeType)))
                given = {*dir(builtins), "__file__", node.name}
                # Annotations in a body are read by nobody, but by who looks.
                said = {part.id for one in ast.walk(node) if isinstance(one, ast.AnnAssign)
                        for part in ast.walk(one.annotation) if isinstance(part, ast.Name)}  # fmt: skip
                assert bound_and_free(alone)[1] - given - said == names - given - said, f"{path.name}: {node.name}"
                count += 1
    assert count > 200


@pytest.mark.parametrize(
    ("sources", "wanted", "expected"),
    [
        (["a = 1", "b = 2", "c = a"], [2], [0, 2]),
        # The latest binding counts, and only that.
        (["a = 1", "a = 2", "a"], [2], [1, 2]),
        (["a = 1", "a = a + 1", "a"], [2], [0, 1, 2]),
        # A change is a binding and a reading; a look is neither.
        (["a = []", "a.append(1)", "a"], [2], [0, 1, 2]),
        (["a = {}", "a[0] = b", "a"], [2], [0, 1, 2]),
        (["a = T()", "a.b.c = 1", "a"], [2], [0, 1, 2]),
        (["a = T()", "a.go()\n1", "a"], [2], [0, 1, 2]),
        (["a = T()", "a.head()", "a"], [2], [0, 2]),
        (["a = 1", "a += 1", "a"], [2], [0, 1, 2]),
        (["a = b = 1", "del a", "b = a"], [2], [0, 1, 2]),
        (["net = N()", "history = fit(net, 1)", "net"], [2], [0, 1, 2]),
        (["w = W()", "init.uniform_(w)", "w"], [2], [0, 1, 2]),
        # What a module is called upon for does not change what it means.
        (["import plt", "plt.show()\nplt.show()", "plt"], [2], [0, 2]),
        (["import plt", "plt.size = 3", "plt"], [2], [0, 1, 2]),
        # Bound only perhaps: what was there before counts too.
        (["a = 1", "if fast: a = 2", "a"], [2], [0, 1, 2]),
        (["a = 1", "for a in range(3): pass", "a"], [2], [1, 2]),
        # A function sees the names of the time when it is called.
        (["def f(): return k", "k = 1", "f()"], [2], [0, 1, 2]),
        (["k = 0", "def f(): return k", "k = 1", "f()"], [3], [1, 2, 3]),
        (["def f(): return k", "g = h(f)", "k = 1", "g()"], [3], [0, 1, 2, 3]),
        (["def f(): return k\ndef g(): return 1", "k = 1", "g()"], [2], [0, 2]),
        (["class A:\n    def f(self): return k", "k = 1", "A().f()"], [2], [0, 1, 2]),
        (["f = lambda: k", "k = 1", "f()"], [2], [0, 1, 2]),
        (["n = 0", "def f():\n    global n\n    n = 1", "n"], [2], [0, 1, 2]),
        # Nobody knows what a star brings; what is bound later hides it.
        (["from a import *", "b = 1", "c"], [2], [0, 2]),
        (["from a import *", "c = 1", "c"], [2], [1, 2]),
        (["b = = 1", "%%bash\nb", "b"], [2], [2]),
        (["from m import display", "display(1)"], [1], [0, 1]),
        (["a = 1", "b = 2", "a", "b"], [2, 3], [0, 1, 2, 3]),
        (["a = 1"], [], []),
    ],
)
def test_which_cells_are_needed(sources, wanted, expected):
    assert needed(sources, wanted) == expected


def test_an_index_outside_is_refused():
    with pytest.raises(ValueError, match="wanted must hold indices of the 1 cells, got 1"):
        needed(["a"], [1])


def test_the_slice_of_a_real_exercise_runs_alone():
    """Every exercise of chapter 00 runs after the cells it needs, and those are few."""
    cells = [
        cell.source
        for cell in nbformat.read(ROOT / "notebooks/00_start_here.ipynb", as_version=4).cells
        if cell.cell_type == "code"
    ]
    exercises = [index for index, source in enumerate(cells) if "check(" in source]
    assert exercises
    for index in exercises:
        slice_ = needed(cells, [index])
        assert len(slice_) < len(cells) / 2
        namespace = {"get_ipython": None}
        with contextlib.redirect_stdout(io.StringIO()):
            for place in slice_:
                exec(cells[place], namespace)
