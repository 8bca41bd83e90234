"""``assert_equivalent``: a comparison as an assertion."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from specc.runner.compare import compare
from specc.runner.comparison import Comparison, Settings
from specc.runner.experiment import Experiment

CORE_BACKENDS = ("numpy", "torch", "tensorflow")


def assert_equivalent(
    spec: str | Path,
    backends: Sequence[str] = CORE_BACKENDS,
    *,
    steps: int = 50,
    dtype: str = "float64",
    tolerance: float = 1e-10,
    samples: int | None = None,
    sets: Mapping[str, str] | None = None,
) -> Comparison:
    """Asserts that ``spec`` trains identically on all backends, on the data that it names.

    Each backend's file runs in its own process. ``tolerance`` bounds the relative difference of
    losses, of parameters (as a share of the distance travelled) and of running statistics at every
    step; ``samples`` keeps the first training rows only; ``sets`` are settings as of ``--set``.

    Returns:
        All figures of the comparison.

    Raises:
        AssertionError: a table of what differs, with the first differing tensor.
        SpecError: the spec or its data are wrong, or a file fails.
        ValueError: the tolerance is negative or no number.
    """
    if not tolerance >= 0:
        raise ValueError(f"{tolerance} is no tolerance: no comparison could fail, or none succeed")
    path = Path(spec)
    with tempfile.TemporaryDirectory() as folder:
        experiment = Experiment.prepare(
            path, dict.fromkeys(backends, Path(folder)), sets=sets, dtype=dtype, samples=samples
        )
        settings = Settings(experiment.batch_size, steps, dtype, tolerance, experiment.indifferent)
        found = compare(experiment.sources, experiment.parts["train"], settings)
    if not found.equal:
        raise AssertionError(failure_table(found))
    return found


def failure_table(found: Comparison) -> str:
    """What differs, the first place first."""
    assert found.first_difference is not None
    first, last = found.first_difference, found.steps[-1]
    at = found.steps[first.step]
    lines = [
        f"{found.name} is not the same on {', '.join(found.backends)} ({found.dtype})",
        f"first difference: {first}",
        "",
        f"{'tensor':<40} {f'step {first.step}':>12} {f'step {last.step}':>12}",
        f"{'loss':<40} {at.loss_difference:>12.2e} {last.loss_difference:>12.2e}",
    ]
    early, late = ({**step.differences, **step.statistics} for step in (at, last))
    for tensor in sorted(late, key=late.__getitem__, reverse=True):
        lines.append(f"{tensor:<40} {early[tensor]:>12.2e} {late[tensor]:>12.2e}")
    lines.append(f"{'tolerance':<40} {found.tolerance:>12.2e}")
    return "\n".join(lines)
