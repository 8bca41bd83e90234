"""specc fmt: one style for both forms, idempotent, every comment kept, the same meaning."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from test_documentation import blocks as documented

from specc.compiler import load_program
from specc.diagnostics import Source, SpecError
from specc.frontend.formatter import format_text
from specc.frontend.layout import lay_out, lex
from specc.frontend.yaml_comments import comment_starts
from specc.ir.text import program_text

ROOT = Path(__file__).parents[2]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # as the reader takes it
EXAMPLES = sorted((ROOT / "examples").glob("*.[ys]*"))


def formatted(text: str, name: str = "net.yaml") -> str:
    """The text in style; formatting it again changes nothing."""
    once = format_text(Source(name, text))
    assert format_text(Source(name, once)) == once
    return once


def comments(text: str, name: str = "net.yaml") -> list[str]:
    """The words of all comments, however they are spaced."""
    source = Source(name, text)
    if name.endswith(".specc"):
        found = [comment.text for comment in lay_out(source, lex(source)[0], [])[1]]
    else:
        starts = comment_starts(source, list(yaml.parse(text, Loader=LOADER)))
        found = [text[start:].partition("\n")[0] for start in starts]
    return sorted(" ".join(each.strip("# ").split()) for each in found)


def specc(*arguments: str, text: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
    given_text = text.encode() if isinstance(text, str) else text
    command = [sys.executable, "-m", "specc.cli", *arguments]
    return subprocess.run(command, input=given_text, capture_output=True, check=False)


# Style

YAML = """\
# yaml-language-server: $schema=spec.schema.json


specc:   1
name:    net   # the name
inputs: { image:    {shape: [8,8 ,1], dtype: float} }
layers:   # the network
- {dense: {units: 8}}
- name: a
  dense: {units: 8,
     activation: relu} # folded


- {name: b, dense: {  # eight of them
    units: 8,
    # smooth
    activation: tanh}}
-   flatten
# - dropout: 0.5
outputs:
    - b
training:
  optimizer: &slow {sgd: {learning_rate: 1e-3}}
  loss: {mean_squared_error: {prediction: b, target: t, weight: 0.125000000000000}}
    # between
  clip: {value: 1.0}
#the end
"""
YAML_IN_STYLE = """\
# yaml-language-server: $schema=spec.schema.json

specc: 1
name: net  # the name
inputs: {image: {shape: [8, 8, 1], dtype: float}}

layers:  # the network
  - dense: {units: 8}
  - name: a
    dense: {units: 8, activation: relu}  # folded

  - name: b
    dense:  # eight of them
      units: 8
      # smooth
      activation: tanh
  - flatten
# - dropout: 0.5
outputs:
  - b

training:
  optimizer: &slow {sgd: {learning_rate: 1e-3}}
  loss: {mean_squared_error: {prediction: b, target: t, weight: 0.125000000000000}}
  # between
  clip: {value: 1.0}
# the end
"""
LANGUAGE = """\
#first
spec 1  net
conventions keras


input image:float[ 8,8,1 ]   # pixels
target label : int[]
block cell(n,k=3){
  input x

  # the only layer
  x|dense( n*k , activation = relu )   # wide
  }
layer shared=dense(8,
   activation=tanh,   # smooth
   # no bias
   use_bias=false)
h=image|cell( 3 )
  |flatten   # one
  # between
  |dense(-1 + 2**(3-1),)  # two
  # |dropout(0.5)
y = ( h ,  h )|add   |repeat(2,i) {   # twice
  input z
  z|dense(if i==0 then 8 else not 3)
} as stage|shared
output y
training{
loss mean_squared_error ( y,label, weight= -1 )
optimizer sgd(learning_rate=cosine(initial_learning_rate=1e-3, decay_steps=100000, alpha=0.125), \
momentum=0.9)
metrics accuracy,top_k_accuracy(k=3)
split   (1+2)
prepare x=[rescale(255),{a:1,"b":[2]}]
}
# last"""
LANGUAGE_IN_STYLE = """\
# first
spec 1 net
conventions keras

input image: float[8, 8, 1]  # pixels
target label: int[]

block cell(n, k=3) {
  input x

  # the only layer
  x | dense(n * k, activation=relu)  # wide
}

layer shared = dense(
  8,
  activation=tanh,  # smooth
  # no bias
  use_bias=false
)
h = image
  | cell(3)
  | flatten  # one
  # between
  | dense(-1 + 2 ** (3 - 1))  # two
  # |dropout(0.5)
y = (h, h)
  | add
  | repeat(2, i) {  # twice
      input z
      z | dense(if i == 0 then 8 else not 3)
    } as stage
  | shared
output y

training {
  loss mean_squared_error(y, label, weight=-1)
  optimizer sgd(
    learning_rate=cosine(initial_learning_rate=1e-3, decay_steps=100000, alpha=0.125),
    momentum=0.9
  )
  metrics accuracy, top_k_accuracy(k=3)
  split (1 + 2)
  prepare x=[rescale(255), {a: 1, "b": [2]}]
}
# last
"""


def test_yaml_in_style() -> None:
    assert formatted(YAML) == YAML_IN_STYLE


def test_language_in_style() -> None:
    assert formatted(LANGUAGE, "net.specc") == LANGUAGE_IN_STYLE


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a:\n", "a:\n"),
        ("{}\n", "{}\n"),
        ("{a: 1, b: [ ]}", "a: 1\nb: []\n"),
        ("a: {b: , c: ~}", "a: {b: ~, c: ~}\n"),
        ("a:\n- b:\n- - c\n  - d\n", "a:\n  - b:\n  - - c\n    - d\n"),
        ("a: [x: 1, 'y']", "a: [{x: 1}, 'y']\n"),
        ("a: one\n  two", 'a: "one two"\n'),
        ("a: |\n     one\n\n       two\n\n\nb: 1", "a: |\n  one\n\n    two\n\nb: 1\n"),
        ("a: >-  # folded\n   one\n   two\nb: 1", "a: >-  # folded\n  one\n  two\nb: 1\n"),
        ("a: |2\n   x\nb:   1\n", "a: |2\n   x\nb:   1\n"),
        ("a: &x\n    b: 1\nc: *x", "a: &x\n  b: 1\nc: *x\n"),
        ("---\na:   1\n...\n", "a: 1\n"),
        ("? a\n: 1\n", "a: 1\n"),
        ('"a b": "#"\n', '"a b": "#"\n'),
        ("a:\n  - &x {b: 1}\n  - &y\n    b: 2\n", "a:\n  - &x {b: 1}\n  - &y\n    b: 2\n"),
        ("a: [ # none\n]\nb: 1", "a: []\n# none\nb: 1\n"),
        (
            "a:  # one\n\n  - b  # two\n  # three\n# four\nc: 1",
            "a:  # one\n  - b  # two\n  # three\n# four\nc: 1\n",
        ),
    ],
)
def test_yaml_one_by_one(text: str, wanted: str) -> None:
    assert formatted(text) == wanted


def test_long_brackets_become_blocks() -> None:
    values = ", ".join(f"'{'v' * 10}{i}'" for i in range(12))
    wanted = "".join(f"  - '{'v' * 10}{i}'\n" for i in range(12))
    assert formatted(f"a: [{values}]") == f"a:\n{wanted}"


# Meaning


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples_are_in_style(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text, path.name) == text


def test_the_folder_of_examples_is_in_style() -> None:
    done = specc("fmt", "--check", str(ROOT / "examples"))
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.parametrize("tag, text", list(documented("yaml", "specc")))
def test_specs_of_the_docs_keep_their_meaning(tag: str, text: str, tmp_path: Path) -> None:
    programs = []
    for each in (text, formatted(text, f"spec.{tag}")):
        path = tmp_path / f"spec.{tag}"
        path.write_text(each, encoding="utf-8")
        programs.append(program_text(load_program(path)[0]))
    assert programs[0] == programs[1]


_CHANGES = st.lists(
    st.tuples(
        st.integers(0, 10_000),
        st.sampled_from(
            ["\n", "\n\n", " ", "  ", "  # note\n", "\n# note\n", "\t", ",", "{", "}", "- "]
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EXAMPLES), _CHANGES)
def test_changed_specs_keep_meaning_and_comments(
    path: Path, changes: list[tuple[int, str]]
) -> None:
    """What still reads after insertions at random places formats to the same tree; format_text
    itself compares the trees."""
    text = path.read_text(encoding="utf-8")
    for at, inserted in changes:
        at %= len(text)
        text = text[:at] + inserted + text[at:]
    try:
        result = formatted(text, path.name)
    except SpecError:
        return
    assert comments(result, path.name) == comments(text, path.name)


_ODD = st.recursive(
    st.sampled_from(["1", "a", "'x'", "~", "r  # c", "# c\n", "\n", "|\n  t\n", "{", "- ", ": "]),
    lambda inner: (
        st.lists(inner, max_size=4).map("".join)
        | inner.map(lambda text: "k: {" + text + "}\n")
        | inner.map(lambda text: "- [" + text + "]\n")
        | inner.map(lambda text: "k:\n" + re.sub("(?m)^", "   ", text) + "\n")
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(_ODD)
def test_odd_yaml_is_formatted_or_refused(text: str) -> None:
    try:
        result = formatted(text)
    except SpecError:
        return
    assert comments(result) == comments(text)


# The command


def test_files_are_written_in_one_move_and_folders_are_walked(tmp_path: Path) -> None:
    (tmp_path / "inner/.hidden").mkdir(parents=True)
    (tmp_path / "net.yaml").write_text(YAML)
    (tmp_path / "inner/net.specc").write_text(LANGUAGE)
    (tmp_path / "inner/.hidden/net.specc").write_text(LANGUAGE)
    (tmp_path / "other.yaml").write_text("a:   1\n")
    (tmp_path / "broken.specc").write_text("spec 1 (\n")
    done = specc("fmt", str(tmp_path))
    assert done.returncode == 1
    assert b"broken.specc:1:8: error[E0204]" in done.stderr
    assert done.stdout.decode().split() == [
        str(tmp_path / "net.yaml"),
        str(tmp_path / "inner/net.specc"),
    ]
    assert (tmp_path / "net.yaml").read_text() == YAML_IN_STYLE
    assert (tmp_path / "inner/.hidden/net.specc").read_text() == LANGUAGE
    assert (tmp_path / "other.yaml").read_text() == "a:   1\n"
    assert (tmp_path / "broken.specc").read_text() == "spec 1 (\n"
    assert specc("fmt", str(tmp_path / "net.yaml"), str(tmp_path / "inner")).stdout == b""


def test_check_and_diff_write_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(YAML)
    done = specc("fmt", "--check", str(path))
    assert (done.returncode, done.stdout.decode()) == (1, f"{path}\n")
    done = specc("fmt", "--check", "--diff", str(path))
    assert done.returncode == 1
    assert b"-specc:   1\n" in done.stdout and b"+specc: 1\n" in done.stdout
    assert specc("fmt", "--diff", str(path)).returncode == 0
    assert path.read_text() == YAML
    path.write_text(YAML_IN_STYLE)
    assert specc("fmt", "--check", "--diff", str(path)).stdout == b""


def test_line_ends_and_byte_order_marks_are_part_of_the_style(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + YAML_IN_STYLE.replace("\n", "\r\n").encode())
    assert specc("fmt", "--check", str(path)).returncode == 1
    assert specc("fmt", str(path)).returncode == 0
    assert path.read_bytes() == YAML_IN_STYLE.encode()


def test_standard_input(tmp_path: Path) -> None:
    assert specc("fmt", "-", text=YAML).stdout.decode() == YAML_IN_STYLE
    done = specc("fmt", "-", "--stdin-filename", "net.specc", text="spec  1 net")
    assert (done.returncode, done.stdout) == (0, b"spec 1 net\n")
    done = specc("fmt", "-", "--stdin-filename", "net.specc", text="spec 1 1")
    assert done.returncode == 1 and b"net.specc:1:8" in done.stderr
    assert specc("fmt", "--check", "-", text=YAML).returncode == 1
    done = specc("fmt", "-", text=b"a: \xff")
    assert done.returncode == 1 and b"E0003" in done.stderr


def test_a_link_stays_a_link_and_a_mode_a_mode(tmp_path: Path) -> None:
    path, link = tmp_path / "net.yaml", tmp_path / "link.yaml"
    path.write_text(YAML)
    path.chmod(0o640)
    link.symlink_to(path)
    assert specc("fmt", str(link)).returncode == 0
    assert link.is_symlink() and path.read_text() == YAML_IN_STYLE
    assert path.stat().st_mode & 0o777 == 0o640


def test_the_hooks_of_pre_commit_run(tmp_path: Path) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [hook["id"] for hook in hooks] == ["specc-fmt", "specc-check"]
    path = tmp_path / "net.specc"
    path.write_text((ROOT / "examples/mlp.specc").read_text(encoding="utf-8"), encoding="utf-8")
    for hook in hooks:
        assert {"id", "name", "description", "entry", "language", "files"} == hook.keys()
        assert hook["language"] == "python"
        assert re.search(hook["files"], str(path))
        program, *arguments = shlex.split(hook["entry"])
        assert program == "specc"
        assert specc(*arguments, str(path)).returncode == 0
