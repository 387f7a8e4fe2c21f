"""A real browser draws the page, offline, and says nothing of an error."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nversion.report import build_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def opened(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    page = build_report(small_study, include_figures=False)
    profile = tmp_path_factory.mktemp("profile")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    options += ["--enable-logging=stderr", "--virtual-time-budget=20000", f"--user-data-dir={profile}"]
    assert CHROMIUM is not None
    command = [CHROMIUM, *options, "--window-size=1280,4000", "--dump-dom", page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_every_figure_is_drawn(opened: subprocess.CompletedProcess[str]) -> None:
    assert 'data-drawn="yes"' in opened.stdout
    assert len(re.findall(r"<canvas[^>]*class=\"marks\"", opened.stdout)) == 21
    assert opened.stdout.count('class="still" ') == opened.stdout.count('display: none;">') == 21


def test_drop_downs_stand_in_the_page(opened: subprocess.CompletedProcess[str]) -> None:
    for label in ("Condition: ", "Diversity: ", "Consensus: ", "Members: ", "Model in blue: "):
        assert label in opened.stdout


def test_the_console_holds_no_error(opened: subprocess.CompletedProcess[str]) -> None:
    said = [line for line in opened.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in said if re.search(r"error|refused|violat|failed", line, re.IGNORECASE)] == []
