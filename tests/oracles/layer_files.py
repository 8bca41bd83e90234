"""What a layer oracle reads and writes in a case's folder. NumPy alone: no specc, no framework."""

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Use:
    """One use of a layer: attributes as the user wrote them, shapes without the batch."""

    kind: str
    attributes: Mapping[str, Any]
    types: list[list[Any] | None]
    outputs: list[str]
    loss: bool
    weights: list[float]
    inputs: Arrays
    targets: Arrays
    parameters: Arrays

    @classmethod
    def read(cls, folder: Path) -> "Use":
        case = json.loads((folder / "case.json").read_text())
        groups: dict[str, Arrays] = {"inputs": {}, "targets": {}, "parameters": {}}
        for key, array in np.load(folder / "arrays.npz").items():
            group, _, name = key.partition("/")
            groups[group][name] = array
        return cls(
            case["kind"],
            case["attributes"],
            case["inputs"],
            case["outputs"],
            case["loss"],
            case["weights"],
            **groups,
        )


def run(folder: Path, compute: Callable[[Use], Mapping[str, Mapping[str, Any]]]) -> None:
    """Writes oracle.npz with what ``compute`` gives, or oracle.txt with the traceback."""
    if not (folder / "arrays.npz").exists():  # there is no generated file to compare with
        return
    try:
        found = compute(Use.read(folder))
    except Exception:
        (folder / "oracle.txt").write_text(traceback.format_exc())
        return
    flat = {f"{group}/{name}": a for group, held in found.items() for name, a in held.items()}
    np.savez(folder / "oracle.npz", **flat)
