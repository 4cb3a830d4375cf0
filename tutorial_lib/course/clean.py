"""Keep what a notebook says; drop the noise that running it adds.

``tidy`` is for every executed notebook: whole streams, bounded outputs, no widget state. ``normalise`` is for the
notebooks that are kept in the repository: running a chapter again changes nothing but what really changed.
Notebooks are plain dictionaries here (``nbformat`` nodes are too), changed in place.
"""

import base64
import hashlib
import re

from tutorial_lib.course.png import with_palette

# One cell's text, and one picture or page. More than a reader can use, and enough to sink a report.
MAX_TEXT = 100_000
MAX_RICH = 10_000_000

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_OVERWRITTEN = re.compile(r"^.*\r(?=[^\n])", re.MULTILINE)
_PROGRESS_BAR = re.compile(r"^.*\d+%\|.*\|.*(\n|$)|^.*\d+\s?\w* \[\d\d:\d\d, .*(\n|$)", re.MULTILINE)
_ADDRESS = re.compile(r"( at )0x[0-9a-fA-F]{6,16}\b")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_NOTEBOOK_NOISE = ("papermill", "widgets", "jupytext", "signature")
_CELL_NOISE = ("papermill", "execution", "ExecuteTime", "collapsed", "scrolled")


def plain(text: object) -> str:
    """Return text without terminal escapes and control characters: safe to print, and legal in XML.

    Args:
        text: anything; it is taken through ``str``.

    >>> plain("\\x1b[31mred\\x1b[0m\\x07")
    'red'
    """
    return _CONTROL.sub("", _ANSI.sub("", str(text)))


def overprinted(text: str) -> str:
    """Return what a terminal shows of text whose lines are overwritten after a carriage return.

    Args:
        text: the text.

    >>> overprinted("1 %\\r2 %\\rdone\\n")
    'done\\n'
    """
    return _OVERWRITTEN.sub("", text)


def cut_note(kept: int, total: int) -> str:
    """Return the line that stands where an output was cut.

    Args:
        kept, total: characters.

    >>> cut_note(10, 2000)
    '\\n… cut by the runner: 10 of 2,000 characters are kept\\n'
    """
    return f"\n… cut by the runner: {kept:,} of {total:,} characters are kept\n"


def tidy(notebook: dict) -> None:
    """Merge neighbouring streams, drop widget state and views, and bound every output.

    Args:
        notebook: changed in place.
    """
    notebook.get("metadata", {}).pop("widgets", None)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [_bounded(output) for output in _merged(cell.get("outputs", []))]


def normalise(notebook: dict) -> None:
    """Make an executed notebook fit to be kept: only what the chapter says, in one canonical form.

    Removed: times, papermill's and widgets' metadata, progress bars, memory addresses, the kernel's own name and
    version, and the bytes of pictures that nobody sees. Cells are counted 1 … n. Ids that exist are kept.

    Args:
        notebook: changed in place.
    """
    tidy(notebook)
    metadata = notebook["metadata"]
    for key in _NOTEBOOK_NOISE:
        metadata.pop(key, None)
    metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata["language_info"] = {"name": "python"}
    notebook["nbformat"], notebook["nbformat_minor"] = 4, max(5, notebook.get("nbformat_minor", 5))
    count, taken = 0, set()
    for index, cell in enumerate(notebook["cells"]):
        for key in _CELL_NOISE:
            cell["metadata"].pop(key, None)
        if not cell["metadata"].get("tags", True):
            del cell["metadata"]["tags"]
        if not cell.get("id") or cell["id"] in taken:
            cell["id"] = hashlib.sha256(f"{index}\n{cell['source']}".encode()).hexdigest()[:8]
        taken.add(cell["id"])
        if cell["cell_type"] == "code":
            count += bool(cell["source"].strip())
            cell["execution_count"] = count if cell["source"].strip() else None
            cell["outputs"] = [output for output in map(_without_noise, cell["outputs"]) if output]
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = cell["execution_count"]


def _merged(outputs: list[dict]) -> list[dict]:
    merged: list[dict] = []
    for output in outputs:
        before = merged[-1] if merged else {}
        if output["output_type"] == "stream":
            if before.get("output_type") == "stream" and before["name"] == output["name"]:
                before["text"] += output["text"]
                continue
        elif WIDGET_VIEW in output.get("data", {}):
            # A view without its state shows nothing; the chapter's own static figure stands beside it.
            continue
        merged.append(output)
    for output in merged:
        if output["output_type"] == "stream":
            output["text"] = overprinted(output["text"])
    return merged


def _bounded(output: dict) -> dict:
    if output["output_type"] == "stream":
        output["text"] = _shortened(output["text"])
    elif output["output_type"] == "error":
        output["evalue"] = _shortened(output["evalue"])
        output["traceback"] = [_shortened(line) for line in output["traceback"]]
    else:
        for mime, value in list(output["data"].items()):
            if not isinstance(value, str):
                continue
            if mime == "text/plain":
                output["data"][mime] = _shortened(value)
            elif len(value) > MAX_RICH:
                # Half a picture or half a page is worse than none.
                del output["data"][mime]
                text = output["data"].get("text/plain", "")
                output["data"]["text/plain"] = text + f"\n… {mime} of {len(value):,} characters left out by the runner"
    return output


def _shortened(text: str) -> str:
    # The client leaves a note of its own where it has cut a stream: that much more is not cut again.
    if len(text) <= MAX_TEXT + 200:
        return text
    return text[:MAX_TEXT] + cut_note(MAX_TEXT, len(text))


def _without_noise(output: dict) -> dict | None:
    if output["output_type"] == "stream":
        if output["name"] == "stderr":
            output["text"] = _PROGRESS_BAR.sub("", output["text"])
        output["text"] = _ADDRESS.sub(r"\g<1>0x0", output["text"])
        return output if output["text"].strip() else None
    if output["output_type"] != "error":
        text = output["data"].get("text/plain", "")
        output["data"]["text/plain"] = _ADDRESS.sub(r"\g<1>0x0", text)
        if not text:
            del output["data"]["text/plain"]
        if png := output["data"].get("image/png"):
            output["data"]["image/png"] = base64.b64encode(with_palette(base64.b64decode(png))).decode()
    return output
