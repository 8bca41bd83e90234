"""What the two front ends share: wiring by position, names of metrics."""

from __future__ import annotations

from pathlib import Path

from specc.compiler import compile_program, load_program
from specc.ir.graph import Program
from specc.ir.text import print_graphs

HEAD = "spec 1 net\ninput q: float[5, 4]\ninput m: float[6, 4]\ntarget label: int[]\n"


def built(folder: Path, text: str) -> Program:
    path = folder / "net.specc"
    path.write_text(HEAD + text, encoding="utf-8")
    return load_program(path)[0]


def test_what_stands_first_is_the_first_input_whatever_it_is_called(tmp_path: Path) -> None:
    first = built(tmp_path, "y = (q, value=m) | multi_head_attention(2, 2)\n")
    named = built(tmp_path, "y = (query=q, value=m) | multi_head_attention(2, 2)\n")
    assert print_graphs(first.graph) == print_graphs(named.graph)


def test_metrics_that_differ_in_attributes_only_are_numbered(tmp_path: Path) -> None:
    program = built(
        tmp_path,
        """y = q | flatten | dense(9, activation="softmax")
training {
  loss sparse_categorical_crossentropy(y, label)
  metrics accuracy, top_k_accuracy(3), top_k_accuracy(5)
}
""",
    )
    assert program.training is not None
    names = [metric.name for metric in program.training.metrics]
    assert names == ["accuracy", "top_k_accuracy", "top_k_accuracy_2"]


def test_one_number_per_sample_flattens_to_a_row(tmp_path: Path) -> None:
    program = built(tmp_path, "input x: float[]\nrow = x | flatten\ny = row | dense(3)\n")
    assert "x.unsqueeze(1)" in compile_program(program, "torch")
