"""A drawn spec with how it is run: enough to run it again, on any machine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from specc.frontend.sources import load_source
from specc.frontend.yaml_reader import read_yaml
from specc.fuzz.draw import draw_spec
from specc.fuzz.spec import Spec, plain, yaml_of

SPEC, REPORT = "spec.yaml", "failure.json"
_HEADER = re.compile(r"^# fuzz: (\{.*\})$", re.MULTILINE)
_TRACED = 1 / 8
"""How many cases TensorFlow runs as graphs; the others run the same Python without tracing it."""


@dataclass(frozen=True)
class Case:
    """A spec, the batches it is trained on and how.

    ``rows`` is the size of a full batch, ``short`` that of one after it. Data derive from the seed,
    the index and the names of inputs and targets.
    """

    seed: int
    index: int
    spec: Spec
    rows: int = 4
    short: int = 3
    weighted: bool = False
    traced: bool = True

    @classmethod
    def draw(cls, seed: int, index: int) -> Case:
        """Case number ``index`` of a seed: the same one on every machine."""
        random = Random(f"run/{seed}/{index}")
        spec = draw_spec(seed, index)
        # Fewer than three samples make what normalizes over the batch forget nearly all of them.
        rows = (
            max(3, spec["training"]["batch_size"])
            if random.random() < 0.5
            else random.randint(3, 6)
        )
        return cls(
            seed,
            index,
            spec,
            rows=rows,
            short=random.randint(3, rows),
            weighted=random.random() < 0.3,
            traced=random.random() < _TRACED,
        )

    @classmethod
    def load(cls, path: Path) -> Case:
        """The case in a folder that `save` wrote, or in a YAML file, which may be any spec that
        trains. Raises SpecError."""
        source = load_source(path / SPEC if path.is_dir() else path)
        spec = plain(read_yaml(source))
        header = _HEADER.search(source.text)
        return cls(
            **{"seed": 0, "index": 0, **json.loads(header[1] if header else "{}")}, spec=spec
        )

    def save(self, folder: Path, report: Any) -> Path:
        """Writes the case into a folder of its own below ``folder``, with what failed in it."""
        place = folder / f"{self.seed}-{self.index}"
        place.mkdir(parents=True, exist_ok=True)
        (place / SPEC).write_text(self.text, encoding="utf-8")
        command = f"specc fuzz --case {place}"
        report = {"seed": self.seed, "index": self.index, "command": command, **report}
        (place / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        return place

    @property
    def text(self) -> str:
        """The spec as YAML, under a line that says how it is run."""
        settings = {k: v for k, v in vars(self).items() if k != "spec"}
        return f"# fuzz: {json.dumps(settings)}\n{yaml_of(self.spec)}"

    def with_spec(self, spec: Spec) -> Case:
        """The same run of another spec."""
        return replace(self, spec=spec)
