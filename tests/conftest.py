"""What tests need from outside: real data and a browser. Absent, a test skips and says what to install; with
STEEPEST_REQUIRE_ALL=1, as in CI, a skipped test is a failure."""

import gc
import os
import shutil
import signal
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).parent.parent
settings.register_profile("steepest", deadline=None)  # no test asserts on seconds
settings.load_profile("steepest")


def pytest_configure():
    """Let Ctrl-C reach the commands of tests, also where a shell has this run in its background and ignores it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    """What is imported by now stays, and need not be looked through for garbage again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    gc.unfreeze()  # some libraries count at the end what is left


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("STEEPEST_REQUIRE_ALL") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which STEEPEST_REQUIRE_ALL=1 forbids: {report.longrepr}"
    return report


@pytest.fixture(scope="session", autouse=True)
def _warm_workers():
    """Studies in this process fork their workers from what has imported torch already."""
    from steepest.compare.running import fork_server
    from tests import warm

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fork_server.forkserver, "ForkServer", warm.ForkServer)
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with MNIST, Fashion-MNIST and the like."""
    for place in (os.environ.get("STEEPEST_DATA"), ROOT.parent / "shared" / "data"):
        if place and (Path(place) / "fashion-mnist").is_dir():
            return Path(place).resolve()
    pytest.skip("no real data: set STEEPEST_DATA to a folder that holds fashion-mnist/ with the four IDX files")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, driven by playwright."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=[*quiet, "--disable-sync", "--no-first-run"])
        yield running
        running.close()
