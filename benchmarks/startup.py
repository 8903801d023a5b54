"""How long the command line and the import take, beside ``import numpy``: the best of ten fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
import time

COMMANDS = {
    "import numpy": ["-c", "import numpy"],
    "import numpy, dmformer": ["-c", "import numpy, dmformer"],
    "dmformer --help": ["-m", "dmformer", "--help"],
}


def best_seconds(arguments: list[str]) -> float:
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return min(times)


def main() -> None:
    for name, arguments in COMMANDS.items():
        print(f"{name:<24}{best_seconds(arguments) * 1e3:7.0f} ms")


if __name__ == "__main__":
    main()
