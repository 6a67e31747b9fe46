"""What the tests of README and documentation need of a Markdown file."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run_python_blocks(page: Path) -> dict[str, object]:
    """Run the page's ```python blocks in order, as one program; returns its names."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    for i, block in enumerate(blocks):
        exec(compile(block, f"{page.name}, block {i + 1}", "exec"), names)
    return names


def python_block_count(page: Path) -> int:
    return len(re.findall(r"^```python$", page.read_text(), re.MULTILINE))
