"""The runner's overhead: ``tutorial run`` against bare papermill on the same notebook.

Both start from nothing, as a reader starts them: a fresh process, a fresh kernel, the executed notebook on the disk.
The runner also measures, writes the HTML page, and writes the report. The notebook is made here, shaped like a
chapter: 30 code cells, imports of torch and matplotlib, six figures, text with formulas, some seconds of arithmetic.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETUP = """import numpy as np, torch, matplotlib.pyplot as plt
generator = torch.Generator().manual_seed(0)
def work(products):
    for _ in range(products):
        torch.randn(400, 400, generator=generator) @ torch.randn(400, 400, generator=generator)"""
FIGURE = """work(40)
plt.figure(figsize=(7, 4))
plt.plot(np.random.default_rng({0}).normal(size=300).cumsum())
plt.show()"""
TEXT = """## Step {0}
Let $\\lambda \\sim \\mathrm{{Beta}}(\\alpha, \\alpha)$. Then

$$\\tilde x = \\lambda x_i + (1 - \\lambda) x_j, \\qquad \\tilde y = \\lambda y_i + (1 - \\lambda) y_j .$$

| symbol | variable |
|---|---|
| $\\lambda$ | `lam` |"""


def make_notebook(path: Path) -> None:
    """Write the notebook that both run."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    cells = [new_markdown_cell("# A chapter"), new_code_cell(SETUP)]
    for step in range(29):
        cells.append(new_markdown_cell(TEXT.format(step)))
        cells.append(new_code_cell(FIGURE.format(step) if step % 5 == 0 else f"work(50)\nprint('step', {step})"))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


def seconds(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command to its end and return its wall time and the processor time of all its processes."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, *command], cwd=folder, check=True, **silent)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def main(repeats: int = 3) -> None:
    """Measure in turn, print the medians, the difference and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        make_notebook(folder / "notebooks" / "01_chapter.ipynb")
        bare = ["-m", "papermill", "notebooks/01_chapter.ipynb", "out.ipynb"]
        ours = ["-m", "tutorial_lib.course.cli", "run", "--fresh", "--jobs", "1"]
        times: dict[str, list[tuple[float, float]]] = {"papermill": [], "tutorial": []}
        for _ in range(repeats):
            times["papermill"].append(seconds(bare, folder))
            times["tutorial"].append(seconds(ours, folder))
    print("The runner against bare papermill, the same notebook (30 code cells)")
    # On a busy machine the wall time says little; the processor time still holds.
    for position, what in enumerate(("wall time", "processor time")):
        papermill, tutorial = (statistics.median(pair[position] for pair in times[name]) for name in times)
        print(
            f"  {what:<14}  papermill {papermill:6.2f} s   tutorial run {tutorial:6.2f} s   "
            f"{tutorial / papermill:.3f} x   {tutorial - papermill:+.2f} s   (goal: under 1.05 x and under +2 s)"
        )


if __name__ == "__main__":
    main()
