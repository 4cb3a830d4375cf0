"""The process that draws an explorer's frames: ``python -m tutorial_lib.course.front.book.draw``.

It reads from its standard input the cells to run, each with the folder of its frames, which is empty for a cell that is
no explorer's. They run one after another in one IPython without a page.
"""

import json
import os
import sys


def main() -> int:
    """Run the cells; exit status 1, with the traceback above it, where one fails."""
    order = json.load(sys.stdin)
    os.environ.update(TUTORIAL_HEADLESS="1", MPLBACKEND="Agg")
    from IPython.core.interactiveshell import InteractiveShell

    from tutorial_lib.lab.frames import FOLDER

    shell = InteractiveShell.instance()
    sys.path.insert(0, os.getcwd())
    for cell, folder in order:
        os.environ.pop(FOLDER, None)
        if folder:
            os.environ[FOLDER] = folder
        result = shell.run_cell(cell, silent=True)
        if not result.success:
            print(f"the cell that begins {cell[:60]!r} failed", file=sys.stderr)
            return 1
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
