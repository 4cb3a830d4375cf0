"""``tutorial refresh`` saves a chapter in place, the same to the byte unless something really changed."""

import json

import pytest


@pytest.fixture(scope="module")
def refreshed(shared_course):
    course = shared_course
    noisy = """import sys, time
print(" 10%|#         | 1/10 [00:00<00:01,  3.9it/s]", file=sys.stderr)
print(object())
FAST"""
    widget = """from IPython.display import display
display({"application/vnd.jupyter.widget-view+json": {"model_id": "1"},
         "text/plain": "interactive(children=())"}, raw=True)
print("a", flush=True)
print("b")"""
    course.chapter("01_a", "# Title", noisy, widget, course.figure)
    course.chapter("solutions/01_a", "print('solved', FAST)")
    course.failing = course.chapter("02_b", "1 / 0")
    course.before = course.failing.read_bytes()
    edited = course.notebooks / "03_c.ipynb"
    course.chapter("03_c", f"with open({str(edited)!r}, 'a') as file: file.write(' ')")
    course.edited = edited.read_bytes() + b" "
    course.first = course.tutorial("refresh", "--jobs", "2")
    course.paths = [course.notebooks / "01_a.ipynb", course.notebooks / "solutions" / "01_a.ipynb"]
    course.once = [path.read_bytes() for path in course.paths]
    return course


def test_a_failure_leaves_the_notebook_alone(refreshed):
    assert refreshed.first.returncode == 1
    assert refreshed.failing.read_bytes() == refreshed.before
    assert "02_b: failed in code cell 2; the notebook is left as it was" in refreshed.first.stdout
    assert "ZeroDivisionError" in refreshed.first.stdout


def test_an_edit_made_during_the_run_is_not_overwritten(refreshed):
    assert (refreshed.notebooks / "03_c.ipynb").read_bytes() == refreshed.edited
    assert "the notebook was edited while it ran" in refreshed.first.stdout


def test_outputs_are_saved_without_noise(refreshed):
    notebook = json.loads(refreshed.once[0])
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == [1, 2, 3, 4]
    assert [cell["id"] for cell in notebook["cells"]] == [f"cell-{number}" for number in range(5)]
    assert "".join(cells[1]["outputs"][0]["text"]) == "<object object at 0x0>\n"
    assert cells[1]["outputs"][1]["data"]["text/plain"] == ["True"]
    assert [output["text"] for output in cells[2]["outputs"]] == [["a\n", "b\n"]]
    assert "image/png" in cells[3]["outputs"][0]["data"]
    assert set(notebook["metadata"]) == {"tutorial", "kernelspec", "language_info"}
    assert notebook["metadata"]["kernelspec"] == {"name": "python3", "display_name": "Python 3", "language": "python"}
    said = json.dumps([notebook["metadata"], [(cell["metadata"], cell.get("outputs")) for cell in notebook["cells"]]])
    for word in ("papermill", "interactive(", "it/s", "duration", "version"):
        assert word not in said
    assert "solved True" in refreshed.once[1].decode()


def test_refreshing_again_changes_nothing_but_what_really_changed(refreshed):
    assert refreshed.tutorial("refresh", "01").returncode == 0
    assert [path.read_bytes() for path in refreshed.paths] == refreshed.once
    assert not list(refreshed.root.rglob("*.tmp")) and not refreshed.out.exists()
    path = refreshed.paths[1]
    path.write_text(path.read_text().replace("'solved'", "'answered'"))
    assert refreshed.tutorial("refresh", str(path)).returncode == 0
    now, before = path.read_text().splitlines(), refreshed.once[1].decode().splitlines()
    assert [line.strip() for line in now if line not in before] == ['"answered True\\n"', "\"print('answered', FAST)\""]
    assert len(now) == len(before)
