"""Specs that are made to hurt whoever reads them, by name: (ending, bytes)."""

from __future__ import annotations

from collections.abc import Callable

HEAD = "specc: 1\nname: net\ninputs: {x: {shape: [4]}}\n"
LANGUAGE = "spec 1 net\ninput x: float[4]\n"
LARGE = 990_000
"""As many bytes as a spec may just have."""

ATTACKS: dict[str, tuple[str, Callable[[], str | bytes]]] = {}


def attack(ending: str) -> Callable[[Callable[[], str | bytes]], Callable[[], str | bytes]]:
    def add(make: Callable[[], str | bytes]) -> Callable[[], str | bytes]:
        ATTACKS[make.__name__] = (ending, make)
        return make

    return add


def content(name: str) -> tuple[str, bytes]:
    """The ending and the bytes of an attack."""
    ending, make = ATTACKS[name]
    made = make()
    return ending, made if isinstance(made, bytes) else made.encode("utf-8", "surrogatepass")


def full(line: str, head: str = f"{HEAD}layers:\n", most: int = LARGE) -> str:
    """A spec with that line as often as fits, at most so often, ``%d`` in it counted up."""
    lines, size, index = [head], len(head), 0
    while size < LARGE and index < most + 1:
        text = line.replace("%d", str(index))
        lines.append(text)
        size += len(text)
        index += 1
    return "".join(lines[:-1])


# What no YAML of a spec may hold


@attack("yaml")
def tag_that_runs_code() -> str:
    return f"{HEAD}layers: !!python/object/apply:os.system [touch stolen]\n"


@attack("yaml")
def tag_directive() -> str:
    return f"%TAG ! tag:yaml.org,2002:python/\n---\n{HEAD}layers: !object/apply:os.system [ls]\n"


@attack("yaml")
def many_tags() -> str:
    return full("- !!python/name:os.system x%d\n")


@attack("yaml")
def many_documents() -> str:
    return full("--- {a: 1}\n", "")


@attack("yaml")
def laughs() -> str:
    """Ten aliases of ten aliases of ..."""
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 40)]
    return "\n".join(lines)


@attack("yaml")
def wide_alias() -> str:
    return f"parameters: {{a: &a [{'1,' * 40_000}]}}\nlayers: [{'*a,' * 10_000}]\n"


@attack("yaml")
def long_text_by_aliases() -> str:
    return f"parameters: {{a: &a {'b' * 400_000}}}\n{HEAD}layers: [{'*a, ' * 90_000}]\n"


@attack("yaml")
def long_names_by_aliases() -> str:
    layer = f"&l {{{'k' * 900}: {{}}, {'m' * 900}: {{}}}}"
    return f"{HEAD}layers: [{layer}, {'*l, ' * 24_000}]\n"


@attack("yaml")
def alias_of_itself() -> str:
    return f"{HEAD}layers: &l [*l, *l]\n"


@attack("yaml")
def deep_lists() -> str:
    return f"{HEAD}layers: {'[' * 400_000}"


@attack("yaml")
def deep_mappings() -> str:
    return f"{HEAD}layers: {'{a: ' * 240_000}"


@attack("yaml")
def deep_blocks() -> str:
    return "".join(f"{' ' * i}a:\n" for i in range(1300))


@attack("yaml")
def same_key() -> str:
    return full("same: 1\n", "")


@attack("yaml")
def unknown_sections() -> str:
    return full("section%d: 1\n", HEAD)


@attack("yaml")
def unclosed_quote() -> str:
    return f'{HEAD}layers: "{"a " * 480_000}'


@attack("yaml")
def one_line() -> str:
    return f"{HEAD}layers: [{'relu, ' * 160_000} &]\n"


@attack("yaml")
def comments() -> str:
    return full("# comment %d\n", f"{HEAD}layers: [relu]\n")


@attack("yaml")
def number_signs() -> str:
    return f"{HEAD}layers: [relu] {'# ' * 490_000}\n"


@attack("yaml")
def blank_lines() -> str:
    return f"{HEAD}layers: [relu]{chr(10) * 900_000}: :"


@attack("yaml")
def indicators() -> str:
    return "? " * 490_000


@attack("yaml")
def expressions_in_flow() -> str:
    return f"{HEAD}layers: [{{dense: {'${' * 490_000}"


# Bytes


@attack("yaml")
def not_utf8() -> bytes:
    return HEAD.encode() + b"layers: [\xff\xfe\xfa]\n"


@attack("yaml")
def utf16() -> bytes:
    return HEAD.encode("utf-16")


@attack("yaml")
def utf32() -> bytes:
    return HEAD.encode("utf-32")


@attack("specc")
def zeros() -> bytes:
    return b"\0" * 900_000


@attack("yaml")
def high_bytes() -> bytes:
    return b"\xff" * 900_000


@attack("yaml")
def lone_surrogate() -> bytes:
    return HEAD.encode() + b"layers: [\xed\xa0\x80]\n"


@attack("yaml")
def overlong_utf8() -> bytes:
    return HEAD.encode() + b"layers: [\xc0\xaf]\n"


@attack("yaml")
def byte_order_marks() -> str:
    return f"\ufeff\ufeff{HEAD}layers: [relu]\n"


@attack("specc")
def byte_order_mark_within() -> str:
    return f"{LANGUAGE}y = x | relu\ufeff\n"


@attack("yaml")
def carriage_returns() -> str:
    return f"{HEAD}layers: [relu]\n".replace("\n", "\r") + "\r" * 500_000


@attack("specc")
def line_separator_in_comment() -> str:
    return f"{LANGUAGE}y = x | relu  # harmless\u2028layers: [evil]\n"


@attack("yaml")
def next_line_in_comment() -> str:
    return f"{HEAD}# harmless\x85layers: [evil]\n"


@attack("yaml")
def right_to_left() -> str:
    return f"{HEAD}layers: [relu]  # \u202e}} ]evil[ :sreyal\n"


@attack("specc")
def isolates_in_name() -> str:
    return f"{LANGUAGE}y\u2066z\u2069 = x | relu\n"


@attack("yaml")
def full_width_name() -> str:
    return f"{HEAD}layers: [{{name: ｅｖａｌ, relu: {{}}}}]\n"


@attack("yaml")
def cyrillic_name() -> str:
    return f"{HEAD}layers: [{{name: \u0430, relu: {{}}}}]\n"


@attack("yaml")
def escapes_for_the_terminal() -> str:
    return f'{HEAD}layers: [{{name: "\\e[2J\\e]0;owned\\a\\u202e", relu: {{}}}}]\n'


@attack("yaml")
def tabs() -> str:
    return f"{HEAD}layers:\n\t- relu\n"


# Numbers


@attack("yaml")
def digits() -> str:
    return f"{HEAD}seed: {'9' * 900_000}\nlayers: [relu]\n"


@attack("yaml")
def digits_after_the_point() -> str:
    return f"{HEAD}layers: [{{dropout: 0.{'1' * 900_000}}}]\n"


@attack("yaml")
def hexadecimal_digits() -> str:
    return f"{HEAD}seed: 0x{'f' * 900_000}\nlayers: [relu]\n"


@attack("yaml")
def exponent() -> str:
    return f"{HEAD}layers: [{{dropout: 1e{'9' * 900_000}}}]\n"


@attack("specc")
def digits_of_the_language() -> str:
    return f"{LANGUAGE}y = x | dense({'9' * 900_000})\n"


@attack("specc")
def fraction_of_the_language() -> str:
    return f"{LANGUAGE}y = x | dropout(0.{'1' * 900_000}e-{'9' * 1000})\n"


@attack("yaml")
def huge_layer() -> str:
    return f"{HEAD}layers: [{{dense: 9000000000000000000}}]\n"


@attack("yaml")
def huge_input() -> str:
    return "specc: 1\ninputs: {x: {shape: [4000000000, 4000000000]}}\nlayers: [relu]\n"


@attack("yaml")
def huge_network() -> str:
    return f"{HEAD}layers: [{{repeat: {{times: 900, layers: [{{dense: 400000}}]}}}}]\n"


@attack("yaml")
def huge_kernel() -> str:
    return (
        "specc: 1\ninputs: {x: {shape: [8, 8, 1]}}\n"
        "layers: [{conv2d: {filters: 1, kernel_size: 1000000, padding: same}}]\n"
    )


@attack("yaml")
def huge_padding() -> str:
    return (
        "specc: 1\ninputs: {x: {shape: [8, 8, 1]}}\n"
        "layers: [{average_pool2d: {pool_size: 2, padding: 1000000000}}, flatten, {dense: 1}]\n"
    )


@attack("yaml")
def many_axes() -> str:
    return f"specc: 1\ninputs: {{x: {{shape: [{'1, ' * 19_900}1]}}}}\nlayers: [relu]\n"


@attack("yaml")
def many_axes_by_reshape() -> str:
    return f"{HEAD}layers: [{{reshape: [4, {'1, ' * 19_900}1]}}]\n"


@attack("yaml")
def many_inputs() -> str:
    inputs = ", ".join(f"x{i}: [4]" for i in range(250))
    return f"specc: 1\nname: net\ninputs: {{{inputs}}}\nlayers: [{{add: {{}}, from: [x0, x1]}}]\n"


@attack("yaml")
def tower_of_sizes() -> str:
    """Each layer halves an axis whose size has a name: the formula grows with every one."""
    layer = "{conv1d: {filters: 1, kernel_size: 3, strides: 2}}"
    return f"specc: 1\ninputs: {{x: {{shape: [T, 1]}}}}\nlayers: [{', '.join([layer] * 900)}]\n"


@attack("yaml")
def doubled_sizes() -> str:
    layers = ["{name: a0, relu: {}}"]
    layers += [
        f"{{name: a{i}, concatenate: {{axis: 1}}, from: [a{i - 1}, a{i - 1}]}}"
        for i in range(1, 900)
    ]
    return f"specc: 1\ninputs: {{x: {{shape: [T, 1]}}}}\nlayers: [{', '.join(layers)}]\n"


# Expressions


@attack("yaml")
def powers() -> str:
    return f'{HEAD}layers: [{{dense: "${{{" ** ".join(["9"] * 99)}}}"}}]\n'


@attack("yaml")
def long_sum() -> str:
    return f'{HEAD}layers: [{{dense: "${{{" + ".join(["1"] * 240_000)}}}"}}]\n'


@attack("yaml")
def parentheses() -> str:
    return f'{HEAD}layers: [{{dense: "${{{"(" * 450_000}1{")" * 450_000}}}"}}]\n'


@attack("yaml")
def many_expressions() -> str:
    return full('- {dense: "${if 3 * 2 > 5 and not false then max(4, 2, %d) else 4}"}\n')


@attack("yaml")
def many_broken_expressions() -> str:
    return full('- {dense: "${1 + + * %d}"}\n')


@attack("yaml")
def doubling_lists() -> str:
    """Each parameter holds the one before twice."""
    parameters = "".join(f"  p{i}: [$p{i - 1}, $p{i - 1}]\n" for i in range(1, 2000))
    return f"{HEAD}parameters:\n  p0: [1, 2]\n{parameters}layers: [{{dense: $p1999}}]\n"


@attack("yaml")
def compared_lists() -> str:
    big = f"[{', '.join(['1'] * 250)}]"
    return full(
        '- {dense: "${if a == b then 4 else 3}"}\n',
        f"{HEAD}parameters: {{a: {big}, b: {big}}}\nlayers:\n",
    )


@attack("specc")
def nested_calls() -> str:
    return f"{LANGUAGE}y = x | dense({'max(1, ' * 120_000}\n"


@attack("specc")
def signs() -> str:
    return f"{LANGUAGE}y = x | dense({'-' * 900_000}1)\n"


@attack("specc")
def sum_of_the_language() -> str:
    return f"{LANGUAGE}y = x | dense({'1 + ' * 240_000}1)\n"


@attack("specc")
def list_of_the_language() -> str:
    return f"{LANGUAGE}y = x | reshape([{'1, ' * 320_000}4])\n"


@attack("specc")
def conditions() -> str:
    return f"{LANGUAGE}y = x | dense({'if true then 1 else ' * 48_000}1)\n"


# The language


@attack("specc")
def language_full_of_layers() -> str:
    return f"{LANGUAGE}y = x{' | relu' * 140_000}\n"


@attack("specc")
def language_full_of_statements() -> str:
    return full("a%d = x | relu\n", LANGUAGE)


@attack("specc")
def language_full_of_mistakes() -> str:
    return full("a%d = = x\n", LANGUAGE)


@attack("specc")
def language_full_of_odd_characters() -> str:
    return LANGUAGE + "?" * 900_000


@attack("specc")
def open_brackets() -> str:
    return LANGUAGE + "y = x | dense(\n" * 60_000


@attack("specc")
def closing_brackets() -> str:
    return LANGUAGE + ")" * 900_000


@attack("specc")
def open_braces() -> str:
    return LANGUAGE + "block b() {\n" * 70_000


@attack("specc")
def open_text() -> str:
    return f'{LANGUAGE}include "{"a" * 900_000}\n'


@attack("specc")
def escaped_text() -> str:
    return f'{LANGUAGE}include "{chr(92) * 900_001}\n'


@attack("specc")
def language_comments() -> str:
    return full("# comment %d\n", LANGUAGE)


@attack("specc")
def spaces() -> str:
    return LANGUAGE + " " * 900_000 + "\n" + "\n \n" * 30_000


@attack("specc")
def long_name() -> str:
    return f"{LANGUAGE}{'y' * 900_000} = x | relu\n"


@attack("specc")
def many_outputs() -> str:
    return f"{LANGUAGE}{', '.join(f'a{i}' for i in range(110_000))} = x | relu\n"


@attack("specc")
def bars() -> str:
    return f"{LANGUAGE}y = x\n" + "  |\n" * 240_000


# Names, layers, blocks


@attack("yaml")
def unknown_layers() -> str:
    return full("- unknown%d\n", most=19_900)


@attack("yaml")
def unknown_values() -> str:
    return full("- {name: a%d, relu: {}, from: b%d}\n", most=4900)


@attack("yaml")
def unknown_attributes() -> str:
    return f"{HEAD}layers: [{{dense: {{{', '.join(f'unit{i}: 1' for i in range(19_900))}}}}}]\n"


@attack("yaml")
def unknown_blocks() -> str:
    blocks = "".join(f"  block{i}: {{layers: [relu]}}\n" for i in range(2000))
    return full("- use: blok%d\n", f"{HEAD}blocks:\n{blocks}layers:\n", 5000)


@attack("yaml")
def unused_values() -> str:
    return full("- {name: a%d, relu: {}, from: x}\n", most=990)


@attack("yaml")
def unused_parameters() -> str:
    return full("  p%d: 1\n", f"{HEAD}layers: [relu]\nparameters:\n", 19_900)


@attack("yaml")
def unused_on_one_line() -> str:
    parameters = ", ".join(f"p{i}: 1" for i in range(19_900))
    return f"{HEAD}parameters: {{{parameters}}}\nlayers: [relu]\n"


@attack("yaml")
def similar_long_names() -> str:
    long = "ab" * 20_000
    inputs = ", ".join(f"{long}{i}: [4]" for i in range(12))
    return f"specc: 1\ninputs: {{{inputs}}}\nlayers: [{{relu: {{}}, from: {long}x}}]\n"


@attack("yaml")
def many_layers() -> str:
    return full("- relu\n", most=19_900)


@attack("yaml")
def as_many_layers_as_go() -> str:
    return f"{HEAD}layers: [{'{dense: 4}, ' * 1000}]\n"


@attack("yaml")
def wide_join() -> str:
    return f"{HEAD}layers: [{{add: {{}}, from: [{'x, ' * 19_000}x]}}]\n"


@attack("yaml")
def many_wide_joins() -> str:
    join = f"{{add: {{}}, from: [{'x, ' * 250}x]}}, "
    return f"{HEAD}layers: [{join * 60}]\n"


@attack("yaml")
def block_in_itself() -> str:
    return f"{HEAD}blocks: {{b: {{layers: [{{use: b}}, {{use: b}}]}}}}\nlayers: [{{use: b}}]\n"


@attack("yaml")
def blocks_in_a_circle() -> str:
    blocks = ", ".join(f"b{i}: {{layers: [{{use: b{(i + 1) % 3000}}}]}}" for i in range(3000))
    return f"{HEAD}blocks: {{{blocks}}}\nlayers: [{{use: b0}}]\n"


@attack("yaml")
def block_with_a_growing_argument() -> str:
    use = '{use: b, with: {n: "${n + 1}"}}'
    block = f"b: {{parameters: {{n: 0}}, layers: [{use}]}}"
    return f"{HEAD}blocks: {{{block}}}\nlayers: [{{use: b}}]\n"


@attack("yaml")
def doubling_blocks() -> str:
    blocks = "".join(
        f"  b{i}: {{layers: [{{use: b{i - 1}}}, {{use: b{i - 1}}}]}}\n" for i in range(1, 60)
    )
    return f"{HEAD}blocks:\n  b0: {{layers: [relu]}}\n{blocks}layers: [{{use: b59}}]\n"


@attack("yaml")
def doubling_blocks_with_arguments() -> str:
    lines = []
    for i in range(1, 60):
        uses = ", ".join(f'{{use: b{i - 1}, with: {{n: "${{2 * n + {k}}}"}}}}' for k in (0, 1))
        lines.append(f"  b{i}: {{parameters: {{n: 0}}, layers: [{uses}]}}\n")
    first = "  b0: {parameters: {n: 0}, layers: [{leaky_relu: $n}]}\n"
    return f"{HEAD}blocks:\n{first}{''.join(lines)}layers: [{{use: b59}}]\n"


@attack("yaml")
def repeats() -> str:
    inner = "relu"
    for _ in range(12):
        inner = f"{{repeat: {{times: 900, layers: [{inner}]}}}}"
    return f"{HEAD}layers: [{inner}]\n"


@attack("yaml")
def repeats_that_differ() -> str:
    inner = '{leaky_relu: "${i + j}"}'
    inner = f"{{repeat: {{times: 1000, index: i, layers: [{inner}]}}}}"
    return f"{HEAD}layers: [{{repeat: {{times: 1000, index: j, layers: [{inner}]}}}}]\n"


@attack("yaml")
def repeat_of_a_large_body() -> str:
    body = "{dense: {units: 4}}, " * 4500
    return f"{HEAD}layers: [{{repeat: {{times: 1000, index: i, layers: [{body}]}}}}]\n"


@attack("yaml")
def repeat_of_long_expressions() -> str:
    long = " + ".join(["0 * i"] * 90)
    layer = f'{{dense: "${{4 + {long}}}"}}'
    return f"{HEAD}layers: [{{repeat: {{times: 1000, index: i, layers: [{layer}]}}}}]\n"


@attack("yaml")
def repeat_of_nothing() -> str:
    return f"{HEAD}layers: [{{repeat: {{times: 1000, layers: [], outputs: [x]}}}}]\n"


@attack("yaml")
def block_with_many_parameters() -> str:
    parameters = ", ".join(f"p{i}: 1" for i in range(9000))
    block = f"b: {{parameters: {{{parameters}}}, layers: [relu]}}"
    return f"{HEAD}blocks: {{{block}}}\nlayers: [{'{use: b}, ' * 900}]\n"


@attack("yaml")
def block_with_a_long_list() -> str:
    items = ", ".join(["1"] * 250)
    block = f"b: {{parameters: {{p: [{items}]}}, layers: [relu]}}"
    uses = ", ".join(f"{{use: b, with: {{p: [{i}, {items}]}}}}" for i in range(70))
    return f"{HEAD}blocks: {{{block}}}\nlayers: [{uses}]\n"


@attack("yaml")
def shared_layers() -> str:
    return full("- {layer: e, from: x}\n", f"{HEAD}shared: {{e: {{dense: 4}}}}\nlayers:\n", 990)


@attack("yaml")
def lstm_of_many_steps() -> str:
    return (
        "specc: 1\nname: net\ninputs: {x: {shape: [1000000000, 4]}}\n"
        "layers: [{lstm: 4}, {dense: 1}]\n"
    )


# Training and data


@attack("yaml")
def many_losses() -> str:
    loss = "{mean_squared_error: {prediction: y, target: t}}, "
    return (
        f"{HEAD}targets: {{t: {{shape: [4]}}}}\nlayers: [{{name: y, dense: 4}}]\n"
        f"training: {{loss: [{loss * 3000}]}}\n"
    )


@attack("yaml")
def many_metrics() -> str:
    return (
        f"{HEAD}targets: {{t: {{shape: [4]}}}}\nlayers: [{{name: y, dense: 4}}]\n"
        "training: {loss: {mse: {prediction: y, target: t}}, "
        f"metrics: [{'mae, ' * 19_000}]}}\n"
    )


@attack("yaml")
def many_boundaries() -> str:
    values = ", ".join(map(str, range(1, 9000)))
    schedule = f"{{piecewise_constant: {{boundaries: [{values}], values: [{values}, 0.1]}}}}"
    return (
        f"{HEAD}targets: {{t: {{shape: [4]}}}}\nlayers: [{{name: y, dense: 4}}]\n"
        "training: {loss: {mse: {prediction: y, target: t}}, "
        f"optimizer: {{sgd: {{learning_rate: {schedule}}}}}}}\n"
    )


@attack("yaml")
def unknown_steps() -> str:
    return (
        f"{HEAD}layers: [relu]\n"
        f"data: {{source: npz, path: a.npz, prepare: {{x: [{'rescal, ' * 19_000}]}}}}\n"
    )


@attack("yaml")
def steps_with_unknown_attributes() -> str:
    return (
        f"{HEAD}layers: [relu]\n"
        "data: {source: npz, path: a.npz, "
        f"prepare: {{x: [{'{rescale: {dvide: 2}}, ' * 6000}]}}}}\n"
    )


@attack("yaml")
def many_columns() -> str:
    columns = ", ".join(f"c{i}" for i in range(19_000))
    return f"{HEAD}layers: [relu]\ndata: {{source: csv, path: a.csv, inputs: {{x: [{columns}]}}}}\n"
