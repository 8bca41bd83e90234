"""Cases on all backends: some hundred that are drawn here, and every one that has ever failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from specc.fuzz.campaign import Campaign, run
from specc.fuzz.case import Case
from specc.fuzz.check import check
from specc.fuzz.crew import Crew

FOLDER = Path(__file__).parent / "cases"
FAILED_ONCE = sorted(FOLDER.glob("*.yaml"))
BACKENDS = ("numpy", "torch", "tensorflow")
# Where rounding may decide, as it does here or there.
UNSETTLED = {
    "equal_probabilities": {"score: accuracy"},
    "zeros_and_a_gradient_that_cancels": {"step 0: v20.bias"},
}
# TensorFlow takes most of the time: a part of the cases does without.
CAMPAIGNS = {1: (160, BACKENDS[:2]), 2: (40, BACKENDS)}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(BACKENDS) as crew:
        yield crew


@pytest.mark.parametrize("path", FAILED_ONCE, ids=lambda path: path.stem)
def test_what_failed_once(path: Path, crew: Crew, tmp_path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# "), "it begins with its cause"
    outcome = check(Case.load(path), crew, tmp_path, BACKENDS)
    assert outcome.failure is None, outcome.failure
    assert outcome.finite
    assert set(outcome.unsettled) <= UNSETTLED.get(path.stem, set())


@pytest.mark.parametrize("seed", CAMPAIGNS)
def test_campaign(seed: int, tmp_path: Path) -> None:
    count, backends = CAMPAIGNS[seed]
    campaign = run(seed, range(count), backends, folder=tmp_path, jobs=2)
    assert campaign.cases == count
    assert _told(campaign) == ""
    assert campaign.not_finite <= count // 50
    assert len(campaign.unsettled) <= count // 20


def _told(campaign: Campaign) -> str:
    """The failures, with the specs to look at."""
    return "\n\n".join(
        f"{found.failure.message} {found.failure.variants}\n{found.case.text}"
        for found in campaign.failures
    )
