"""How long `import tusi` and `tusi --help` take beside bare Python, and how large the environment is.

Run with `make bench`; prints medians of fresh interpreters and the size of the environment it runs in.
"""

import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

N_RUNS = 9
COMMANDS = {
    "python -c pass": "pass",
    "import tusi": "import tusi",
    "tusi --help": "import sys; sys.argv = ['tusi', '--help']; from tusi.cli import main; main()",
}


def seconds(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return time.perf_counter() - started


def size_in_bytes(folder: Path) -> int:
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    bare = None
    print("| what | median, s | beside bare Python |\n| --- | --- | --- |")
    for name, code in COMMANDS.items():
        seconds(code)
        median = statistics.median(seconds(code) for _ in range(N_RUNS))
        bare = bare or median
        print(f"| `{name}` | {median:.3f} | {median / bare:.1f} x |")
    installed = size_in_bytes(Path(sysconfig.get_paths()["purelib"]))
    print(f"\ninstalled: {installed / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
