"""What the tests of README and documentation need of a Markdown file."""

import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def run_python_blocks(page: Path) -> dict[str, object]:
    """Run the page's ```python blocks in order, as one program; returns its names."""
    module = ModuleType(f"page_{page.stem}")
    sys.modules[module.__name__] = module  # where pickle looks for the classes of the page
    try:
        for i, block in enumerate(python_blocks(page)):
            exec(compile(block, f"{page.name}, block {i + 1}", "exec"), vars(module))
    finally:
        del sys.modules[module.__name__]
    return vars(module)


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def python_block_count(page: Path) -> int:
    return len(python_blocks(page))
