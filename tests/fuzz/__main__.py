"""Fuzzes each target for a bounded time: `make soak`, or `python -m tests.fuzz --seconds 60 shell`.

Runs under the Python that has atheris (see the Makefile). The corpus is kept, so the
next run goes on where this one stopped. A finding ends it with exit code 1 and the name
of the file that brings it about: `python -m tests.fuzz --replay FILE shell` shows it again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds"
LONGEST = 6000
"""Bytes of an input: a line over the limit of one, and some that follow."""
HANGS = 30
"""Seconds after which one input counts as a hang."""
MEMORY = 1024
"""MiB above which it counts as a leak."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=int, default=600, help="for each target (default: 600)")
    parser.add_argument("--corpus", type=Path, default=Path("/var/cache/tundev/corpus"))
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run the target on this input alone")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    told = parser.parse_args()
    unknown = set(told.targets) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    return told


def fuzz(name: str, seconds: int, corpus: Path) -> int:
    """One target, in a process of its own: libFuzzer ends the process that it runs in."""
    kept, findings = corpus / name, corpus / "findings"
    for directory in (kept, findings):
        directory.mkdir(parents=True, exist_ok=True)
    print(f"--- {name}: {seconds} s; corpus in {kept}", flush=True)
    before = set(findings.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-artifact_prefix={findings}/{name}-",
        f"-max_len={LONGEST}",
        f"-timeout={HANGS}",
        f"-rss_limit_mb={MEMORY}",
        "-print_final_stats=1",
    ]
    seeds = [str(SEEDS / name)] if (SEEDS / name).is_dir() else []
    argv = [sys.executable, "-m", "tests.fuzz.inside", name, *options, str(kept), *seeds]
    code = subprocess.run(argv, check=False).returncode
    for found in sorted(set(findings.iterdir()) - before):
        print(f"*** {name}: found {found}", file=sys.stderr)
    return code


def main() -> int:
    told = arguments()
    names = told.targets or list(TARGETS)
    if told.replay:
        for name in names:
            TARGETS[name](told.replay.read_bytes())
        return 0
    failed = [name for name in names if fuzz(name, told.seconds, told.corpus)]
    if failed:
        print(f"*** findings in: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
