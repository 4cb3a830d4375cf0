"""The runner's overhead: ``tutorial run`` against bare papermill on the same notebook.

Both start from nothing, as a reader starts them: a fresh process, a fresh kernel, the executed notebook on the disk.
The runner also measures, writes the HTML page, and writes the report. The notebook is made here, shaped like a
chapter: 30 code cells, imports of torch and matplotlib, six figures, text with formulas, some 15 s of arithmetic.
"""

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
FIGURE = """work(80)
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
        cells.append(new_code_cell(FIGURE.format(step) if step % 5 == 0 else f"work(100)\nprint('step', {step})"))
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), path)


def seconds(command: list[str], folder: Path) -> float:
    """Run a command to its end and return how long it took."""
    start = time.perf_counter()
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, *command], cwd=folder, check=True, **silent)
    return time.perf_counter() - start


def main(repeats: int = 3) -> None:
    """Measure in turn, print the medians, the difference and the ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "notebooks").mkdir()
        make_notebook(folder / "notebooks" / "01_chapter.ipynb")
        bare = ["-m", "papermill", "notebooks/01_chapter.ipynb", "out.ipynb"]
        ours = ["-m", "tutorial_lib.course.cli", "run", "--fresh"]
        times: dict[str, list[float]] = {"papermill": [], "tutorial": []}
        for _ in range(repeats):
            times["papermill"].append(seconds(bare, folder))
            times["tutorial"].append(seconds(ours, folder))
    papermill, tutorial = (statistics.median(times[name]) for name in ("papermill", "tutorial"))
    print("The runner against bare papermill, the same notebook (30 code cells)")
    print(f"  papermill     {papermill:6.2f} s")
    print(f"  tutorial run  {tutorial:6.2f} s   {tutorial / papermill:.3f} ×   {tutorial - papermill:+.2f} s"
          "   (wanted: under 1.05 × and under +2 s)")


if __name__ == "__main__":
    main()
