"""The Sphinx extension of the book: formulas as MathML, a mark on what is deeper, a page's language, and a policy that
keeps the page to itself.
"""

import re

from tutorial_lib.course.markup import mathml

#: Nothing is loaded from anywhere but beside the page. A page opened from a disk has no host: hence the scheme.
POLICY = (
    "default-src 'self' file:; img-src 'self' file: data:; style-src 'self' file: 'unsafe-inline'; "
    "script-src 'self' file: 'unsafe-inline'"
)

#: What the theme's frame says on a Chinese page.
_CHINESE = {"Next": "下一页", "Previous": "上一页", "Home": "首页", "Search": "搜索", "On this page": "本页内容"}


def _inline(translator, node) -> None:
    from docutils import nodes

    translator.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator, node) -> None:
    from docutils import nodes

    translator.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def _mark_deeper(app, document) -> None:
    """Put a class on each section whose heading ends in *(deeper)*, and a label in place of these words."""
    from docutils import nodes

    for section in document.findall(nodes.section):
        title = next(iter(section.findall(nodes.title)), None)
        last = title.children[-1] if title is not None and title.children else None
        if title is not None and isinstance(last, nodes.emphasis) and last.astext() == "(deeper)":
            title.replace(last, nodes.inline("", "deeper", classes=["deeper-mark"]))
            section["classes"].append("deeper")


def _context(app, page: str, template: str, context: dict, tree) -> None:
    if page.startswith("zh/"):
        context["language"] = "zh-CN"
        context["_"] = lambda words: _CHINESE.get(words, words)
        # The Chinese pages follow one another; before and behind them come English ones, which none of them goes on to.
        for way in ("prev", "next"):
            if context.get(way) and "/" in context[way]["link"]:
                context[way] = None
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    context["metatags"] = policy + context.get("metatags", "")


def _fields(value) -> list[str]:
    """What stands below each field of a named tuple in its source, as a docstring tells attributes."""
    from sphinx.pycode import ModuleAnalyzer

    told = ModuleAnalyzer.for_module(value.__module__).find_attr_docs()
    return [
        f":ivar {one}: {' '.join(told[place])}" for one in value._fields if (place := (value.__name__, one)) in told
    ]


def _docstring(app, what: str, name: str, value, options, lines: list[str]) -> None:
    if what == "class" and hasattr(value, "_fields"):
        lines += ["", *_fields(value), ""]
    # Napoleon takes an argument that a letter tells ("num_classes: C.") for a list whose first item is C.
    lines[:] = re.sub(r"^(\s*:[^:\n]+:)\n\s+(\w)\.(?=\s|$)", r"\1 \2\\.", "\n".join(lines), flags=re.M).split("\n")
    # A shape such as (B, C, *spatial) is no emphasis.
    lines[:] = [re.sub(r"(?<![\w*`\\])\*(?=\w+[,)\]])", r"\\*", line) for line in lines]


def _skip(app, what: str, name: str, value, skip: bool, options) -> bool | None:
    # A named tuple's fields are told in its docstring.
    return True if str(getattr(value, "__doc__", "")).startswith("Alias for field number") else None


def setup(app) -> dict:
    """Register with Sphinx."""
    from sphinx.domains.python import PyObject

    for field in PyObject.doc_field_types:
        if field.name == "variable":  # "Attributes:" of a docstring, which would stand under "Variables"
            field.label = "Attributes"
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_block, None))
    # Before Sphinx collects the titles for its tables of contents, which then have the label too.
    app.connect("doctree-read", _mark_deeper, priority=0)
    app.connect("html-page-context", _context)
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-skip-member", _skip)
    # Raised when pages that were read before must be read again.
    return {"version": "1", "env_version": 3, "parallel_read_safe": True, "parallel_write_safe": True}
