"""What README.md shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from .conftest import ROOT


def test_readme(tmp_path: Path) -> None:
    blocks: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    [main] = [block for block in blocks if block.startswith("# main.py")]
    [test] = [block for block in blocks if "def test_price" in block]
    (tmp_path / "main.py").write_text(main)
    (tmp_path / "test_price.py").write_text(test)
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-v"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
