"""A small model of our own symbols, an application on an empty folder, and a real server."""

import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from starlette.testclient import TestClient

from steepest.formulas.app import make_app
from steepest.formulas.recognition import Settings, train_recognizer
from steepest.formulas.sets.made import make_symbols

SIGNS = "∀∃∧→¬()xpQavy1"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The file of a model that knows a few classes."""
    folder = tmp_path_factory.mktemp("model")
    symbols = make_symbols(60, 3, labels=SIGNS)
    trained = train_recognizer(symbols, folder / "run", Settings(epochs=10, hidden=200, batch_size=32))
    trained.recognizer.save(folder / "small.safetensors")
    return folder / "small.safetensors"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def client(folder, model):
    return client_of(folder, model)


def client_of(folder, model):
    app = make_app(folder, default_model=model)
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@contextmanager
def serving(folder, model, **options):
    """A server as a process; its address and itself."""
    code = (
        "import sys; from pathlib import Path; from steepest.formulas.app import serve; "
        "serve(port=0, data_folder=sys.argv[1], default_model=Path(sys.argv[2]), "
        "tell=lambda text: print(text, flush=True))"
    )
    command = [sys.executable, "-c", code, str(folder), str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process.stdout.readline().split()[0], process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)
