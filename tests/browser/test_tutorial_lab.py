"""`tutorial lab` in a folder that is not the course's: JupyterLab opens on the first chapter."""

import json
import os
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.alone


def test_tutorial_lab_opens_on_the_first_chapter_from_another_folder(
    tmp_path, new_page, without_outputs, serving, settings
):
    course, elsewhere, home = tmp_path / "course", tmp_path / "else" / "where", tmp_path / "home"
    without_outputs(ROOT / "notebooks", course / "notebooks")
    elsewhere.mkdir(parents=True)
    # The command takes no options of the server's; they come from its file, as a student's would.
    (home / "config").mkdir(parents=True)
    # Without the redirecting file the browser gets the very address that is printed.
    server = {"allow_root": True, "use_redirect_file": False, "ip": "127.0.0.1"}
    (home / "config" / "jupyter_server_config.json").write_text(json.dumps({"ServerApp": server}))
    asked = tmp_path / "asked"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}.part && mv {asked}.part {asked}\n')
    browser.chmod(0o755)
    relative = os.path.relpath(course / "notebooks", elsewhere)
    command = [sys.executable, "-m", "tutorial_lib.course.cli", "lab", "--notebooks", relative]
    with serving(command, cwd=elsewhere, home=home, BROWSER=f"{browser} %s", **settings(home)) as until:
        until(asked.exists)
        page = new_page()
        page.goto(asked.read_text().strip())
        title = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) h1").first
        title.wait_for()
        assert title.inner_text().startswith("00 · Start here")
        page.close()
