"""What the terminal process may import must stay light."""

from __future__ import annotations

import subprocess
import sys


def test_records_errors_and_store_load_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "import knowledge, knowledge.records, knowledge.errors, knowledge.store\n"
        "heavy = {'numpy', 'torch', 'chromadb', 'transformers', 'sentence_transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
