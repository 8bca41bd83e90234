"""Fuzzes the front ends: ``python -m tests.hostile.fuzz_frontend --count 100000``.

With atheris (``pip install atheris``) coverage of specc/frontend guides the mutator, without it
each input is a few edits away from a spec of the repository. What breaks is written to ``--out``,
some files for each place in the code, and the run goes on; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tests.hostile.mutations import mutate, seeds

MAX_KEPT = 10
"""As many inputs of one kind as are kept."""
PACKAGE = f"{Path('specc')}/"


class Campaign:
    """Counts what inputs come to, and keeps some inputs of each kind that breaks something."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.results: Counter[str] = Counter()
        self.found: dict[str, list[Path]] = {}
        self.begin = time.process_time()

    def run(self, content: bytes, form: str) -> None:
        from tests.hostile.target import TookTooLong, exercise

        try:
            self.results[exercise(content, form)] += 1
        except (Exception, TookTooLong) as error:
            self.results["broken"] += 1
            self._keep(error, content, form)
        if self.inputs % 20_000 == 0:
            print(self.summary(), flush=True)

    @property
    def inputs(self) -> int:
        return self.results.total()

    def summary(self) -> str:
        seconds = time.process_time() - self.begin
        counts = ", ".join(f"{count:,} {what}" for what, count in sorted(self.results.items()))
        return f"{self.inputs:,} inputs in {seconds:.0f} s: {counts}; {len(self.found)} kinds"

    def _keep(self, error: BaseException, content: bytes, form: str) -> None:
        kind = signature(error)
        paths = self.found.setdefault(kind, [])
        if len(paths) >= MAX_KEPT:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", kind)
        path = self.out / f"{name}-{len(paths)}.{form}"
        paths.append(path)
        path.write_bytes(content)
        story = "".join(traceback.format_exception(error))[-6000:]
        path.with_suffix(f".{form}.txt").write_text(story, encoding="utf-8", errors="replace")
        print(f"found {path}: {kind}", flush=True)


def signature(error: BaseException) -> str:
    """What breaks, and where: the kind of error with its innermost place in specc."""
    if type(error).__name__ == "BrokenError":
        return str(error).partition(":")[0]
    frames = [
        each for each in traceback.extract_tb(error.__traceback__) if PACKAGE in each.filename
    ]
    place = f"{frames[-1].filename.rpartition(PACKAGE)[2]}:{frames[-1].name}" if frames else "?"
    return f"{type(error).__name__} in {place}"


def plain(campaign: Campaign, count: int, seed: int) -> None:
    """Inputs that derive from the seed and their index alone."""
    specs = seeds()
    for index in range(count):
        draw = random.Random(f"{seed}/{index}")
        form, text = draw.choice(specs)
        campaign.run(mutate(text.encode(), form, draw), form)


def guided(campaign: Campaign, count: int, seed: int, corpus: Path, atheris: ModuleType) -> None:
    """Inputs that atheris chooses: those that reach new code are kept in ``corpus`` and edited
    further. An input is a letter for its form, and a text."""
    with atheris.instrument_imports(include=["specc.frontend"]):
        import tests.hostile.target  # noqa: F401

    letters = {"y": "yaml", "s": "specc"}
    corpus.mkdir(parents=True, exist_ok=True)
    for index, (form, text) in enumerate(seeds()):
        (corpus / f"seed-{index}").write_bytes(form[0].encode() + text.encode())

    def split(data: bytes) -> tuple[bytes, str]:
        return data[1:], letters.get(chr(data[0]), "yaml") if data else "yaml"

    def edit(data: bytes, longest: int, number: int) -> bytes:
        content, form = split(data)
        return (form[0].encode() + mutate(content, form, random.Random(number)))[:longest]

    def one(data: bytes) -> None:
        campaign.run(*split(data))
        if campaign.inputs >= count:
            finish(campaign)

    options = [f"-seed={seed + 1}", "-max_len=8000", "-rss_limit_mb=4096", "-verbosity=0"]
    atheris.Setup([sys.argv[0], str(corpus), *options], one, custom_mutator=edit)
    atheris.Fuzz()


def finish(campaign: Campaign) -> None:
    print(campaign.summary(), flush=True)
    sys.stdout.flush()
    import os

    # libFuzzer has no other way to end from within.
    os._exit(1 if campaign.found else 0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures/frontend"))
    parser.add_argument("--corpus", type=Path, default=Path("fuzz-failures/corpus"))
    parser.add_argument("--plain", action="store_true", help="without atheris")
    given = parser.parse_args(arguments)
    campaign = Campaign(given.out)
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None and not given.plain:
        guided(campaign, given.count, given.seed, given.corpus, atheris)
    plain(campaign, given.count, given.seed)
    finish(campaign)


if __name__ == "__main__":
    main()
