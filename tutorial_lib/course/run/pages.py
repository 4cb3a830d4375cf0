"""The HTML pages: an executed chapter, and the look that it shares with the report.

Every page stands alone: no network, no script. Formulas are turned into MathML, which browsers draw themselves.
What a notebook put out is cleaned by an allow-list, and a content policy in the page's head forbids scripts and
foreign addresses whatever is left.
"""

import html
import re
from functools import cache
from pathlib import Path
from typing import Any

from tutorial_lib.course.markup import mathml, sanitise
from tutorial_lib.course.progress import disagreements

CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"

_NOTEBOOK_LINK = re.compile(r'(<a [^>]*href=")(?!\w+:|/)([\w.-]+)\.ipynb((?:#[^"]*)?")')


@cache
def templates():
    """Return the pages' templates, HTML and CSS, in which every value is escaped unless it is marked as safe."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "templates"
    return Environment(
        autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(folder), keep_trailing_newline=True
    )


def page(title: str, body: str, style: str = "") -> str:
    """Return a whole HTML page that needs no network and runs no script.

    Args:
        title: plain text.
        body: HTML that is already safe.
        style: the name of a further style sheet among the templates.

    >>> "<title>a &lt; b</title>" in page("a < b", "")
    True
    """
    from markupsafe import Markup

    sheets = "".join(templates().get_template(name).render() for name in ("page.css", style) if name)
    return (
        templates()
        .get_template("page.html")
        .render(policy=Markup(CONTENT_POLICY), title=title, style=Markup(sheets), body=Markup(body))
    )


def _exporter(folder: Path):
    from jinja2 import pass_context
    from nbconvert.exporters.html import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def block_math(self, body):
            return mathml(body, "block")

        def inline_math(self, body):
            return mathml(body)

        def latex_environment(self, name, body):
            return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")

    @pass_context
    def markdown2html(context, source):
        attachments = context.get("cell", {}).get("attachments", {})
        renderer = Renderer(
            escape=False, attachments=attachments, embed_images=True, path=str(folder), exclude_anchor_links=True
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    exporter = HTMLExporter(template_name="basic", sanitize_html=True, embed_images=True)
    exporter.register_filter("markdown2html", markdown2html)
    exporter.register_filter("clean_html", sanitise)
    return exporter


def chapter_page(notebook: Any, record: dict, *, folder: str | Path) -> str:
    """Return an executed notebook as one HTML page.

    Args:
        notebook: an ``nbformat`` node; it is not changed.
        record: the chapter's record: ``name``, ``title``, ``status``, ``seconds``, ``error``, ``claims``.
        folder: where the notebook lies; pictures named in its text are taken from there into the page.
    """
    import copy

    notebook = copy.deepcopy(notebook)
    figure, anchor = 0, ""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code, 1):
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                figure += 1
                picture = output.metadata.setdefault("image/png", {})
                if "alt" not in picture:
                    picture["alt"] = f"Figure {figure} of this chapter, drawn by code cell {position}"
    error = record.get("error")
    if error and error["cell"]:
        broken = code[error["cell"] - 1]
        anchor = f'<a href="#cell-id={html.escape(broken.get("id", ""))}">code cell {error["cell"]}</a>'
    body, _ = _exporter(Path(folder)).from_notebook_node(notebook)
    head = '<nav><a href="../index.html">← the report</a></nav>'
    if error:
        where = f" in {anchor}" if anchor else ""
        head += (
            f'<div class="failure"><strong class="bad">✗ This run ended early{where}:</strong> '
            f"<pre>{html.escape(error['message'])}</pre></div>"
        )
    if apart := disagreements(record):
        head += (
            '<div class="failure"><strong class="bad">✗ The fresh seeds of this run do not agree with the stored '
            "evidence:</strong><pre>" + html.escape("\n".join(claim["statement"] for claim in apart)) + "</pre></div>"
        )
    body = _NOTEBOOK_LINK.sub(r"\1\2.html\3", body)
    return page(record["title"], f"{head}<main>{body}</main>", "notebook.css")


def warm_up() -> None:
    """Load what ``chapter_page`` needs, so that a later call does not wait for it."""
    import bleach.css_sanitizer  # noqa: F401
    import latex2mathml.converter  # noqa: F401

    _exporter(Path())
