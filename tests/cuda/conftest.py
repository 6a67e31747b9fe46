"""What only a GPU can show: `make test-cuda`. Without one nothing here is collected, so that CI skips no test."""

import pytest
import torch

collect_ignore_glob = [] if torch.cuda.is_available() else ["test_*.py"]


@pytest.fixture
def never_waiting():
    """A context in which whatever waits for the device is an error."""
    from contextlib import contextmanager

    @contextmanager
    def context():
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")

    return context
