"""``tutorial colab``: every badge and set-up line follows one place, and not a byte beside them changes."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from urllib.parse import quote

import pytest
from conftest import ROOT

from tutorial_lib.course import cli
from tutorial_lib.course.catalogue import CourseError
from tutorial_lib.course.front import colab
from tutorial_lib.course.front.colab import Source, course_files, parse_source, repoint, sources

HERE = re.search(
    r"(\w[\w-]*/[\w.-]+)/tree/([\w./-]+)",
    tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Source"],
)
ORIGIN = Source(HERE[1], HERE[2])
SETUP = f"tutorial-lib[chapters] @ git+https://github.com/{ORIGIN.repo}@{ORIGIN.ref}"
BADGE = f"https://colab.research.google.com/github/{ORIGIN.repo}/blob/{ORIGIN.ref}/notebooks/"


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the command reads and writes."""
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in ("notebooks", "notebooks/solutions"):
        (tmp_path / folder).mkdir()
        for path in (ROOT / folder).glob("*.ipynb"):
            shutil.copy(path, tmp_path / folder)
    return tmp_path


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(folder, *arguments):
    return cli.main(["colab", "--notebooks", str(folder / "notebooks"), *arguments])


def changed_lines(before, after):
    """Pairs of lines that differ; a file that got longer or shorter shows."""
    for name, data in before.items():
        assert data.count(b"\n") == after[name].count(b"\n")
        for old, new in zip(data.splitlines(keepends=True), after[name].splitlines(keepends=True)):
            if old != new:
                yield name, old.decode(), new.decode()


# --- the course as it stands ---


def test_one_place_names_the_source_and_every_file_agrees(capsys):
    files = course_files(ROOT / "notebooks")
    for path in files:
        found = sources(path.read_bytes(), path, files)
        assert all(places == {ORIGIN} for places in found.values()), (path.name, found)
        if path.suffix == ".ipynb":
            assert "set-up line" in found, path.name
            assert ("badge" in found) == (path.parent.name == "notebooks"), path.name
    assert run(ROOT) == 0
    assert f"https://github.com/{ORIGIN.repo}, {ORIGIN.ref}" in capsys.readouterr().out


def test_the_set_up_lines_are_the_first_and_the_same_in_every_notebook():
    heads = {}
    for path in sorted((ROOT / "notebooks").rglob("[0-9]*.ipynb")):
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        first = next(cell for cell in cells if "parameters" not in cell["metadata"].get("tags", []))
        heads.setdefault(
            "".join(first["source"]).split("\n\n")[0] + "\n\n" + "".join(first["source"]).split("\n\n")[1], []
        ).append(path.stem)
    (head,) = heads
    assert SETUP in head and len(head.splitlines()) <= 8
    # What is there already must not be exchanged under a running kernel: pip is told the exact versions.
    for name in ("torch", "numpy"):
        assert f'"{name}"' in head
    assert "{name}=={version(name)}" in head and "*keep" in head


def test_nothing_else_in_the_project_names_the_source():
    """What the command does not know would be left behind in every fork."""
    command = ["git", "ls-files", "-z"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = course_files(ROOT / "notebooks")
    known = {path.relative_to(ROOT).as_posix() for path in files}
    for name in filter(None, names):
        path = ROOT / name
        # The command's own module shows examples.
        if name.startswith("tests/") or name.endswith("front/colab.py") or not path.is_file():
            continue
        data = path.read_bytes()
        if name in known:
            data = repoint(data, path, Source("somebody/else", "x"), files)
        assert f"github.com/{ORIGIN.repo}".encode() not in data, name
        assert f"github/{ORIGIN.repo}".encode() not in data, name
        assert f"gh/{ORIGIN.repo}".encode() not in data, name


# --- there and back ---


@pytest.mark.parametrize(
    "target",
    [
        "jane-doe/my.course_2@fix/notebooks/typo-1",
        "a/b",
        "jane/tutorial@v1.0+rc",
        "jane/tutorial@0123456789abcdef0123456789abcdef01234567",
    ],
)
def test_there_and_back_byte_for_byte(checkout, target):
    before = contents(checkout)
    there = parse_source(target)
    forms = ("{0.repo}@{0.ref}", "{0.repo}/blob/{0.ref}/", '{0.repo}/tree/{0.ref}"', "/gh/{0.repo}/{1}?")

    def written(form, source):
        return form.format(source, quote(source.ref, safe=""))  # Binder's address takes the branch as one part

    assert run(checkout, "--repo", target) == 0
    after = contents(checkout)
    assert before.keys() == after.keys()
    for name, old, new in changed_lines(before, after):
        assert ORIGIN.repo in old and there.repo in new and ORIGIN.repo not in new, name
        assert new in [old.replace(written(form, ORIGIN), written(form, there)) for form in forms]
    names = {name for name, *_ in changed_lines(before, after)}
    assert names >= {name for name in before if name.endswith(".ipynb")} | {"pyproject.toml"}
    files = course_files(checkout / "notebooks")
    assert all(places == {there} for path in files for places in sources(path.read_bytes(), path, files).values())
    assert run(checkout, "--repo", target) == 0  # once more changes nothing
    assert contents(checkout) == after
    assert run(checkout) == 0
    assert run(checkout, "--repo", str(ORIGIN)) == 0
    assert contents(checkout) == before


def test_git_sees_the_address_lines_and_no_other(checkout):
    if shutil.which("git") is None:
        pytest.skip("no git")

    def git(*words):
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false", *words]
        return subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "as it was")
    run(checkout, "--repo", "jane/course@dev")
    lines = [line for line in git("diff", "-U0").splitlines() if re.match(r"[-+](?![-+])", line)]
    assert lines and all("jane/course" in line if line[0] == "+" else ORIGIN.repo in line for line in lines)
    chapters = len(list((checkout / "notebooks").glob("*.ipynb")))
    assert sum("jane/course/blob/dev/notebooks" in line for line in lines) >= chapters
    run(checkout, "--repo", str(ORIGIN))
    assert git("status", "--porcelain") == ""


def test_odd_files_keep_their_form(tmp_path):
    """Windows line ends, no final line end, one long source, escapes, a byte that is no text, a link: all stay."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    long = json.dumps({"cells": [{"source": f'x = "{SETUP}"\n# naïve', "cell_type": "code"}]})
    assert "\\u00ef" in long
    listed = f'{{"cells":[\r\n {{"source":["[c]({BADGE}01_a.ipynb)\\r\\n"] }}],\r\n\t"metadata":{{}} }}'
    (folder / "00_b.ipynb").write_bytes(long.encode())
    (folder / "01_a.ipynb").write_bytes(listed.encode())
    (folder / "02_c.ipynb").write_bytes(b"\xff" + SETUP.encode() + b"\xfe")
    (tmp_path / "far.ipynb").write_text(f'"{SETUP}"')
    (folder / "03_link.ipynb").symlink_to(tmp_path / "far.ipynb")
    before = contents(tmp_path)
    assert run(tmp_path, "--repo", "jane/course@a/b") == 0
    after = contents(tmp_path)
    assert after["notebooks/00_b.ipynb"] == long.replace(str(ORIGIN), "jane/course@a/b").encode()
    assert (
        after["notebooks/01_a.ipynb"]
        == listed.replace(f"{ORIGIN.repo}/blob/{ORIGIN.ref}", "jane/course/blob/a/b").encode()
    )
    assert after["notebooks/02_c.ipynb"].startswith(b"\xfftutorial-lib") and after["notebooks/02_c.ipynb"][-1] == 0xFE
    assert (folder / "03_link.ipynb").is_symlink() and b"jane/course@a/b" in after["far.ipynb"]
    assert run(tmp_path, "--repo", str(ORIGIN)) == 0
    assert contents(tmp_path) == before


def test_other_peoples_addresses_stay(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    text = (
        "pip install git+https://github.com/HiLab-git/DTC@main and other-lib @ git+https://github.com/a/b\n"
        "https://colab.research.google.com/github/d2l-ai/d2l/blob/master/notebooks/mlp.ipynb\n"
        f"https://colab.research.google.com/github/d2l-ai/d2l/blob/main/chapter/01_a.ipynb https://github.com/{ORIGIN.repo}\n"
        "https://mybinder.org/v2/gh/binder-examples/conda/HEAD?urlpath=lab\n"
    )
    (folder / "01_a.ipynb").write_text(text)
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "their-own"\n[project.urls]\nSource = "https://github.com/a/b"\n'
    )
    before = contents(tmp_path)
    assert run(tmp_path, "--repo", "jane/course") == 0
    assert contents(tmp_path) == before


def test_binder_and_a_set_up_line_without_a_branch(tmp_path, capsys):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "01_a.ipynb").write_text("tutorial-lib @ git+https://github.com/old/fork.git and more")
    (tmp_path / "README.md").write_text("(https://mybinder.org/v2/gh/old/fork/a%2Fb?labpath=notebooks/01_a.ipynb)")
    assert run(tmp_path) == 1
    assert "The course lies at https://github.com/old/fork, a/b." in (said := capsys.readouterr().out)
    assert "a set-up line names old/fork@main" in said
    assert run(tmp_path, "--repo", "jane/course@x/y") == 0
    assert (folder / "01_a.ipynb").read_text() == "tutorial-lib @ git+https://github.com/jane/course@x/y and more"
    assert (tmp_path / "README.md").read_text().startswith("(https://mybinder.org/v2/gh/jane/course/x%2Fy?labpath=")
    assert run(tmp_path) == 0


def test_a_fork_that_was_edited_or_half_re_pointed(checkout, capsys):
    """Whatever GitHub place a badge or set-up line names, it follows; a chapter of the fork's own too."""
    chapter = checkout / "notebooks" / "01_mixup.ipynb"
    text = chapter.read_text(encoding="utf-8")
    own = checkout / "notebooks" / "17_my own chäpter.ipynb"
    own.write_text(text.replace("01_mixup.ipynb", "17_my%20own%20ch%C3%A4pter.ipynb"), encoding="utf-8")
    chapter.write_text(text.replace(str(ORIGIN), "third/party@dev"), encoding="utf-8")
    assert run(checkout) == 1
    said = capsys.readouterr().out
    assert "notebooks/01_mixup.ipynb: a set-up line names third/party@dev" in said and "Not all agree" in said
    assert run(checkout, "--repo", "jane/course@dev") == 0
    for path in (chapter, own):
        after = path.read_text(encoding="utf-8")
        assert ORIGIN.repo not in after and "third/party" not in after and after.count("jane/course") == 2
    assert run(checkout) == 0


def test_a_notebook_without_set_up_lines_is_named(checkout, capsys):
    (checkout / "notebooks" / "17_bare.ipynb").write_text('{"cells": []}')
    assert run(checkout) == 0
    assert "17_bare.ipynb: no set-up line" in capsys.readouterr().out


# --- requests that cannot be met ---


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jane",
        "jane/",
        "/course",
        "jane/course/more",
        "jane/course@",
        "https://github.com/jane/course",
        "jane/course.git",
        "-jane/course",
        "ja--ne/course",
        "jane/..",
        "jane/co urse",
        "jäne/course",
        "jane/course\n",
        f"{'j' * 40}/course",
        "jane/course@a b",
        "jane/course@a..b",
        "jane/course@/a",
        "jane/course@a/",
        "jane/course@a//b",
        "jane/course@a.lock",
        "jane/course@.a",
        "jane/course@-a",
        "jane/course@a@b",
        'jane/course@a"b',
        "jane/course@a\nb",
        "jane/course@a#b",
    ],
)
def test_names_that_no_repository_has_are_refused_and_nothing_is_written(tmp_path, text, capsys):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", tmp_path / "notebooks")
    before = contents(tmp_path)
    assert run(tmp_path, f"--repo={text}") == 2
    said = capsys.readouterr().err
    assert said.startswith("tutorial: --repo") and said.count("\n") == 1 and repr(text) in said
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["a/b", "A-1/x.y_z-", f"{'j' * 39}/{'n' * 100}", "a/b@feature/x-1.2+3"])
def test_names_that_repositories_have_are_taken(text):
    assert str(parse_source(text)) == text if "@" in text else parse_source(text).ref == "main"


def test_no_notebooks_there(tmp_path, capsys):
    assert run(tmp_path, "--repo", "a/b") == 2
    (tmp_path / "notebooks").mkdir()
    assert run(tmp_path) == 2
    assert "no folder of notebooks" in (said := capsys.readouterr().err) and "no notebooks in" in said


@pytest.mark.parametrize("text", ['[project]\nname = "tutorial-lib"\n', "[project\n"])
def test_the_one_place_must_be_there(checkout, text, capsys):
    (checkout / "pyproject.toml").write_text(text)
    before = contents(checkout)
    assert run(checkout, "--repo", "a/b") == 2
    assert "pyproject.toml" in capsys.readouterr().err
    assert contents(checkout) == before


# --- all or none ---


def failing(monkeypatch, *, at, error, healed=True):
    """Let the ``at``-th write fail; with ``healed`` those after it succeed again."""
    real, calls = colab.atomic_write, []

    def write(path, content):
        calls.append(path)
        if len(calls) == at or (len(calls) > at and not healed):
            raise error
        real(path, content)

    monkeypatch.setattr(colab, "atomic_write", write)


def test_a_file_that_cannot_be_written_leaves_all_as_they_were(checkout, monkeypatch, capsys):
    before = contents(checkout)
    failing(monkeypatch, at=5, error=OSError(28, "No space left on device"))
    assert run(checkout, "--repo", "jane/course") == 2
    said = capsys.readouterr().err
    assert "No space left on device; nothing is changed" in said and said.count("\n") == 1
    assert contents(checkout) == before


def test_an_interrupt_in_the_middle_leaves_all_as_they_were(checkout, monkeypatch):
    before = contents(checkout)
    failing(monkeypatch, at=5, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        run(checkout, "--repo", "jane/course")
    assert contents(checkout) == before


def test_what_cannot_be_put_back_is_named_and_a_second_run_finishes(checkout, monkeypatch, capsys):
    before = contents(checkout)
    with monkeypatch.context() as patch:
        failing(patch, at=3, error=OSError(5, "Input/output error"), healed=False)
        assert run(checkout, "--repo", "jane/course") == 2
    files = course_files(checkout / "notebooks")
    changed = [path.name for path in files if path.read_bytes() != before[str(path.relative_to(checkout))]]
    assert len(changed) == 2
    assert f"still re-pointed: {', '.join(changed)}; run the command again" in capsys.readouterr().err
    assert run(checkout, "--repo", "jane/course") == 0
    assert run(checkout) == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(checkout, capsys):
    before = contents(checkout)
    (checkout / "notebooks" / "solutions").chmod(0o555)
    try:
        assert run(checkout, "--repo", "jane/course") == 2
    finally:
        (checkout / "notebooks" / "solutions").chmod(0o755)
    assert "nothing is changed" in capsys.readouterr().err
    assert contents(checkout) == before


def test_an_unreadable_file_is_named(checkout, capsys):
    (checkout / "notebooks" / "17_gone.ipynb").symlink_to(checkout / "nowhere")
    before = contents(checkout)
    assert run(checkout, "--repo", "jane/course") == 2
    assert "17_gone.ipynb" in capsys.readouterr().err
    assert contents(checkout) == before


def test_errors_are_for_the_reader():
    with pytest.raises(CourseError, match="such as jane/tutorial@main"):
        parse_source("https://github.com/jane/tutorial")
