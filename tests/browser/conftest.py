"""JupyterLab as a student opens it: a server of its own on this machine, and a page in headless Chromium."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import matplotlib
import nbformat
import pytest

#: Debian's name first; on other machines the same program has another one.
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
#: Seconds. Far above what is needed on a busy machine: no test passes or fails by the time it takes.
STARTS = 120


def find_browser() -> str:
    """The path of Chromium; skips the test, with the reason, where there is none or nothing to steer it."""
    pytest.importorskip("playwright.sync_api", reason='no Playwright to steer a browser: pip install -e ".[test]"')
    pytest.importorskip("jupyterlab", reason='no JupyterLab: pip install -e ".[course]"')
    named = os.environ.get("TUTORIAL_BROWSER")
    found = shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        wanted = named or ", ".join(BROWSERS)
        pytest.skip(f"no browser ({wanted}): install Debian's chromium, or name one in TUTORIAL_BROWSER")
    return found


def without_outputs(source: Path, target: Path) -> None:
    """Copy a folder of chapters; what the page shows afterwards can only come from the run in it."""
    for path in sorted(source.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        target.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, target / path.name)


def environment(home: Path, **more: str) -> dict[str, str]:
    """A student's environment with nothing in it yet: no settings, no open tabs, no other course's kernels."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("TUTORIAL_", "JUPYTER", "PYTEST"))}
    plain.pop("MPLBACKEND", None)  # the kernel sets its own, and with it the figures in the page
    home.mkdir(parents=True, exist_ok=True)
    folders = {f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    # Built once for this user, not again for each home: matplotlib's list of fonts takes seconds.
    return {**plain, "HOME": str(home), "MPLCONFIGDIR": matplotlib.get_cachedir(), **folders, **more}


def settings(home: Path, **plugins: dict) -> dict[str, str]:
    """Write JupyterLab's settings as its own dialogs would; returns the variables that point to them."""
    # The first start asks whether to fetch news, and would call home.
    plugins = {"apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False}, **plugins}
    for name, values in plugins.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    return {"JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces")}


@contextmanager
def jupyterlab(root: Path, home: Path, **plugins: dict):
    """Serve ``root`` with JupyterLab on a free port of this machine; yields ``url(path)``."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={root}",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")

    def answers() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=5):
                return True
        except OSError:
            return False

    with serving(command, cwd=root, home=home, **settings(home, **plugins)) as until:
        until(answers)
        yield lambda path: f"http://127.0.0.1:{port}/lab/tree/{path}?token={token}"


@contextmanager
def serving(command: list[str], *, cwd: Path, home: Path, **variables: str):
    """Run a server in a student's fresh environment; yields ``until(ready)``, which waits while the server lives."""
    home.mkdir(parents=True, exist_ok=True)
    log = home / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=cwd, env=environment(home, **variables), stdout=output, stderr=subprocess.STDOUT
        )

    def until(ready) -> None:
        deadline = time.monotonic() + STARTS
        while not ready():
            alive = server.poll() is None and time.monotonic() < deadline
            assert alive, f"JupyterLab does not come up:\n{log.read_text()[-3000:]}"
            time.sleep(0.2)

    try:
        yield until
    finally:
        # It ends its kernels on SIGTERM; a kernel left behind would go on computing.
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


# Not for the session: while Playwright is at work its event loop runs, and other tests could start none of theirs.
@pytest.fixture(scope="module")
def new_page():
    """Open a fresh page in headless Chromium, with no memory of the others."""
    program = find_browser()
    from playwright.sync_api import sync_playwright

    def new_page(width: int = 1400, height: int = 900):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(1000 * STARTS)
        return page

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start for root, nor in most containers; the page is ours.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield new_page
        browser.close()


@pytest.fixture(name="without_outputs", scope="session")
def _without_outputs():
    return without_outputs


@pytest.fixture(name="jupyterlab", scope="session")
def _jupyterlab():
    return jupyterlab


@pytest.fixture(name="serving", scope="session")
def _serving():
    return serving


@pytest.fixture(name="settings", scope="session")
def _settings():
    return settings
