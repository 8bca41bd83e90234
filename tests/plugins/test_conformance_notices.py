"""The conformance suite fails where a backend breaks a promise, and says which one."""

from pathlib import Path

import pytest
from packages import BROKEN_BACKEND, install

from specc import plugins
from specc.testing import conformance
from specc.testing.conformance import CHECKS, check_backend, opened

MLP = Path(__file__).parents[2] / "examples" / "mlp.yaml"
# What is broken: the check that must fail, what is put at the end of the NumPy file, which binds
# names of the file anew, and a part of the message.
BREAKS = {
    "imports": ("stands_alone", "\n\ndef late():\n    import specc  # noqa: F401\n", "imports"),
    "format": ("stands_alone", "x  = 1", "not as ruff formats it"),
    "name": ("offers_the_contract", "\ndel Trainer.evaluate", "no Trainer.evaluate"),
    "arguments": (
        "offers_the_contract",
        "\ndef predict(model, inputs):\n    pass",
        "predict takes",
    ),
    "constant": ("offers_the_contract", "\nEPOCHS = 61", "61"),
    "start": (
        "starts_alike",
        "\nfirst = initial_parameters\n"
        "def initial_parameters(seed):\n"
        "    return {path: value * 1.000001 for path, value in first(seed).items()}\n",
        "initial float32 parameters",
    ),
    "order": (
        "starts_alike",
        "\ndef batch_order(seed, epoch, count):\n    return np.arange(count)\n",
        "the order of epoch 0",
    ),
    "lenient": (
        "refuses_wrong_parameters",
        "\ndef set_parameters(model, parameters):\n    pass\n",
        "does not name no.such",
    ),
    "other error": (
        "refuses_wrong_parameters",
        "\ndef write(places, arrays):\n    raise KeyError('no')\n",
        "raises no ValueError",
    ),
    "outputs": (
        "predicts_alike",
        "\nright = to_outputs\n"
        "def to_outputs(raw):\n"
        "    return {name: 1.001 * value for name, value in right(raw).items()}\n",
        "predictions: probabilities differs",
    ),
    "trace": (
        "traces_alike",
        "\nright = trace\n"
        "def trace(*arguments, **options):\n"
        "    return {**right(*arguments, **options), 'dense': np.zeros((32, 64))}\n",
        "dense differs",
    ),
    "gradient": (
        "differentiates_alike",
        "\nright = loss_and_gradients\n"
        "def loss_and_gradients(*arguments, **options):\n"
        "    loss, found = right(*arguments, **options)\n"
        "    return loss, {path: 1.001 * value for path, value in found.items()}\n",
        "gradients without weights",
    ),
    "weights": (
        "differentiates_alike",
        "\nright = loss_and_gradients\n"
        "def loss_and_gradients(model, inputs, targets, sample_weights=None, step=0):\n"
        "    return right(model, inputs, targets, None, step)\n",
        "loss with weights",
    ),
    "state": (
        "continues_a_state",
        "\nright = Trainer.load_state\n"
        "def load_state(self, state):\n"
        "    right(self, {**state, 'step': state['step'] + 1})\n"
        "Trainer.load_state = load_state\n",
        "states loaded from reference: step differs",
    ),
    "weights file": (
        "exchanges_weights",
        "\nright = save\ndef save(model, path):\n    right(build(seed=1), path)\n",
        "weights saved by broken",
    ),
    "history": (
        "fits_alike",
        "\nright = Trainer.run\n"
        "def run(self, *arguments):\n"
        "    return {'cost': right(self, *arguments)['loss']}\n"
        "Trainer.run = run\n",
        "the history of fit: missing",
    ),
    "epoch": (
        "goes_on_where_it_stopped",
        "\nright = Trainer.fit\n"
        "def fit(self, *arguments, **options):\n"
        "    self.totals = {}\n"
        "    return right(self, *arguments, **options)\n"
        "Trainer.fit = fit\n",
        "history of a training that was interrupted: loss differs",
    ),
    "rate": ("trains_alike", "\ndef learning_rate(step):\n    return 0.501\n", "not the same"),
    "command line": (
        "runs_from_the_command_line",
        "\nif __name__ == '__main__':\n    raise SystemExit('no')\n",
        "train failed",
    ),
}


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Installs a NumPy backend whose files are changed."""

    def make(name: str, ending: str) -> None:
        source = BROKEN_BACKEND.format(ending=ending)
        install(tmp_path / "site", name, source, "specc.backends", broken=f"{name}:Broken")

    monkeypatch.syspath_prepend(tmp_path / "site")
    plugins.backend_entries.cache_clear()
    yield make
    plugins.backend_entries.cache_clear()


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_promise_is_noticed(broken, name):
    check, ending, message = BREAKS[name]
    broken(f"broken_{name.replace(' ', '_')}", ending)
    with (
        opened("broken", MLP, steps=3, samples=60) as subject,
        pytest.raises(AssertionError, match=message),
    ):
        getattr(conformance, check)(subject)


def test_every_check_is_seen_to_fail():
    assert {check for check, _, _ in BREAKS.values()} == {check.__name__ for check in CHECKS}


def test_check_backend_lists_all_that_fails(broken):
    broken("broken_all", BREAKS["rate"][1])
    with pytest.raises(AssertionError) as caught:
        check_backend("broken", [MLP], steps=3, samples=60)
    failed = str(caught.value)
    assert failed.startswith("the backend 'broken' does not conform:\nmlp.yaml: ")
    assert "trains_alike" in failed and "fits_alike" in failed
    assert "starts_alike" not in failed
