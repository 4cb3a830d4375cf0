"""The HTML pages: an executed chapter, and the look that it shares with the report.

Every page stands alone: no network, no script. Formulas are turned into MathML, which browsers draw themselves.
What a notebook put out is cleaned by an allow-list, and a content policy in the page's head forbids scripts and
foreign addresses whatever is left.
"""

import html
import re
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from tutorial_lib.course.progress import disagreements

CONTENT_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:"

_MATH_TAGS = """math mrow mi mn mo ms mtext mspace msub msup msubsup munder mover munderover mfrac msqrt mroot mtable
 mtr mtd mlabeledtr mpadded mphantom menclose mstyle merror mmultiscripts mprescripts none""".split()
_TAGS = """a abbr b blockquote br caption center cite code col colgroup dd del details div dl dt em figcaption figure
 h1 h2 h3 h4 h5 h6 hr i img input ins kbd li mark ol p pre q rp rt ruby s samp small span strong sub summary sup table
 tbody td tfoot th thead tr u ul var""".split()
_MATH_ATTRIBUTES = """display displaystyle scriptlevel mathvariant stretchy fence separator form lspace rspace accent
 accentunder linethickness columnalign rowalign columnspacing rowspacing columnlines rowlines width height depth
 minsize maxsize largeop movablelimits symmetric notation mathcolor""".split()
_STYLES = """background-color border border-bottom border-collapse border-left border-right border-top
 color display font-family font-size font-style font-weight height line-height margin margin-bottom margin-left
 margin-right margin-top max-width min-width padding padding-bottom padding-left padding-right padding-top
 text-align text-decoration vertical-align white-space width""".split()
_INVISIBLE = re.compile(r"<(style|script|noscript|template|iframe|object)\b.*?(</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_LOST_PICTURE = re.compile(r'<img(?![^>]*\ssrc=)(?:[^>]*?\salt="([^"]*)")?[^>]*>')
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


def sanitise(source: str) -> str:
    """Return HTML with only harmless tags, attributes and styles; the rest is shown as text or dropped.

    Args:
        source: any HTML, also broken: what is left open is closed.

    >>> sanitise("<b onclick='x()'>bold<script>alert(1)</script>")
    '<b>bold</b>'
    """
    import bleach
    from bleach.css_sanitizer import CSSSanitizer

    def allowed(tag: str, name: str, value: str) -> bool:
        if name in ("class", "id", "style", "title", "lang"):
            return True
        if tag == "img":
            return name in ("alt", "width", "height") or (name == "src" and value.startswith("data:image/"))
        if tag == "a":
            return name == "href" and not value.strip().lower().startswith("data:")
        if tag == "input":
            return (name, value) == ("type", "checkbox") or name in ("checked", "disabled")
        if tag in ("td", "th", "col", "colgroup"):
            return name in ("colspan", "rowspan", "span", "align", "scope")
        if tag == "ol":
            return name in ("start", "type")
        return tag == "details" and name == "open" or tag in _MATH_TAGS and name in _MATH_ATTRIBUTES

    with warnings.catch_warnings():
        # bleach warns of a style attribute inside MathML and SVG; ours go through the same allow-list.
        warnings.simplefilter("ignore")
        clean = bleach.clean(
            _INVISIBLE.sub("", str(source)),
            tags={*_TAGS, *_MATH_TAGS},
            attributes=allowed,
            protocols={"http", "https", "mailto", "data"},
            css_sanitizer=CSSSanitizer(allowed_css_properties=_STYLES),
        )
    # A picture from the network (a badge) is not loaded; its words stand in for it.
    return _LOST_PICTURE.sub(lambda match: match[1] or "", clean)


def mathml(formula: str, display: str = "inline") -> str:
    """Return a LaTeX formula as MathML; one that cannot be read is shown as it was written.

    Args:
        formula: LaTeX without its dollar signs.
        display: ``inline`` or ``block``.

    >>> mathml("x^2").startswith("<math")
    True
    """
    # Three things the converter draws unlike a notebook does: a raised tilde, a stray star, numbered lines.
    source = re.sub(r"\\sim(?![a-zA-Z])", "∼ ", formula.strip()).replace("\\operatorname*", "\\operatorname")
    source = re.sub(r"\\(begin|end)\{(align|equation|gather)\}", r"\\\1{\2*}", source)
    try:
        from latex2mathml.converter import convert

        drawn = convert(source, display=display)
        # An unknown command comes back as it was: better the whole source than half a formula.
        if "<merror" not in drawn and "<mi>\\" not in drawn:
            return drawn.replace("<mi>∼</mi>", "<mo>∼</mo>")
    except Exception:
        pass
    tag = "pre" if display == "block" else "code"
    return f"<{tag}>{html.escape(formula.strip())}</{tag}>"


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
