"""Open a report in a headless browser: fail on anything its console says, on any request, and keep a screenshot.

Usage: check_report.py REPORT.html [SCREENSHOT.png]
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
)
SIZE = "1400,6000"
WANTED = ("At a glance", "How it was made", "What to cite")
SECONDS = 120


def browse(browser: str, page: Path, *actions: str) -> subprocess.CompletedProcess[str]:
    """Run the browser once with a profile of its own."""
    with tempfile.TemporaryDirectory() as profile:
        words = [browser, *FLAGS, f"--user-data-dir={profile}", *actions, page.resolve().as_uri()]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS)


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def main(arguments: list[str]) -> int:
    """Check one report; return the exit code."""
    page = Path(arguments[0])
    picture = Path(arguments[1]) if len(arguments) > 1 else page.with_suffix(".png")
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        say("no Chromium found: the report was not opened")
        return 0
    shown = browse(browser, page, f"--window-size={SIZE}", f"--screenshot={picture.resolve()}")
    said = [line for line in shown.stderr.splitlines() if "CONSOLE" in line]
    document = browse(browser, page, "--dump-dom").stdout
    missing = [text for text in WANTED if text not in document]
    for line in said:
        say(f"console: {line}")
    for text in missing:
        say(f"the page lacks {text!r}")
    if not picture.exists() or picture.stat().st_size < 10_000:
        say("no screenshot was made")
        return 1
    say(f"opened {page} without console messages; screenshot {picture}" if not said else f"screenshot {picture}")
    return 1 if said or missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
