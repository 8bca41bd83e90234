"""The page of `specc graph`: what a user sees and does on it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page

from specc.cli.boundary import guarded
from specc.cli.group import cli

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
MNIST = ROOT / "examples" / "mnist_cnn.yaml"
RESIDUAL = ROOT / "examples" / "image_classification.yaml"
GPT = ROOT / "benchmarks" / "specs" / "gpt48.yaml"
RESNET = ROOT / "benchmarks" / "specs" / "resnet50.yaml"

Show = Callable[..., Page]


def layer(page: Page, path: str) -> Locator:
    return page.locator(f'#canvas .layer[data-path="{path}"]')


def click(page: Page, path: str) -> None:
    layer(page, path).locator("> .name, > .note").first.click()


def fold(page: Page, path: str) -> None:
    layer(page, path).locator("> .fold").click()


def drawn(page: Page) -> list[str]:
    return page.locator("#canvas .layer").evaluate_all("all => all.map(each => each.dataset.path)")


def selected(page: Page) -> str:
    return str(page.locator("#canvas .layer.selected").get_attribute("data-path"))


def pane(page: Page, name: str) -> Locator:
    return page.locator(f'.pane[data-name="{name}"]')


def marked(page: Page, name: str) -> list[str]:
    return [text.strip() for text in pane(page, name).locator(".line.marked").all_text_contents()]


def line(page: Page, name: str, text: str) -> Locator:
    return pane(page, name).locator(".line", has_text=text).first


# Selection


def test_a_click_on_a_layer_marks_its_lines_in_every_source(show: Show) -> None:
    page = show(MNIST)
    click(page, "conv2")
    assert selected(page) == "conv2"
    assert marked(page, "mnist_cnn.yaml") == [
        "- {name: conv2, conv2d: {filters: 64, kernel_size: 3, activation: relu}}"
    ]
    assert "self.conv2 = nn.Conv2d(32, 64, 3)" in marked(page, "mnist_cnn_torch.py")
    assert "self.conv2 = keras.layers.Conv2D(64, 3)" in marked(page, "mnist_cnn_tensorflow.py")
    numpy = marked(page, "mnist_cnn_numpy.py")
    assert "conv2 = conv2d(" in numpy
    assert 'g["conv2.kernel"] = conv2d_kernel_gradient(' in numpy
    # The layer's own activation belongs to it, and is a layer of its own too.
    assert "d_conv2_preactivation = max_pool2d_gradient(" not in numpy
    click(page, "conv2.relu")
    assert selected(page) == "conv2.relu"
    assert "conv2 = conv2d(" in marked(page, "mnist_cnn_numpy.py")
    click(page, "hidden")
    numpy = marked(page, "mnist_cnn_numpy.py")
    assert any(text.startswith("d_hidden_preactivation = relu_gradient(") for text in numpy)
    for name in ("mnist_cnn.yaml", "mnist_cnn_torch.py", "mnist_cnn_numpy.py"):
        assert is_in_sight(pane(page, name).locator(".line.marked").first)


def is_in_sight(element: Locator) -> bool:
    return bool(
        element.evaluate(
            """each => {
              const box = each.getBoundingClientRect();
              const frame = each.closest(".code").getBoundingClientRect();
              return box.top >= frame.top && box.bottom <= frame.bottom;
            }"""
        )
    )


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("mnist_cnn.yaml", "name: hidden", "hidden"),
        ("mnist_cnn_torch.py", "self.conv3 = ", "conv3"),
        ("mnist_cnn_tensorflow.py", "self.probabilities = ", "probabilities"),
        ("mnist_cnn_numpy.py", 'g["conv1.kernel"] = ', "conv1"),
        ("mnist_cnn_numpy.py", "max_pool2d_2 = max_pool2d(", "max_pool2d_2"),
    ],
)
def test_a_click_on_a_line_selects_its_layer(show: Show, name: str, text: str, path: str) -> None:
    page = show(MNIST)
    line(page, name, text).click()
    assert selected(page) == path
    assert page.locator("#details h2").inner_text().startswith(path)
    for other in ("mnist_cnn.yaml", "mnist_cnn_torch.py", "mnist_cnn_numpy.py"):
        assert marked(page, other)


def test_a_line_of_a_block_stays_with_the_use_that_is_selected(show: Show) -> None:
    page = show(RESIDUAL)
    shared = line(page, "image_classification_tensorflow.py", "self.conv2 = keras.layers.Conv2D(")
    shared.click()
    assert selected(page) == "residual.conv2"
    page.fill("#search", "stage.1.conv1")
    page.keyboard.press("Enter")
    shared.click()
    assert selected(page) == "stage.1.conv2"


def test_what_is_selected_is_in_the_address(show: Show) -> None:
    page = show(MNIST)
    click(page, "hidden")
    assert page.url.endswith("#hidden")
    page.reload()
    assert selected(page) == "hidden"
    page.keyboard.press("Escape")
    assert page.locator("#canvas .layer.selected").count() == 0
    assert page.locator("#details").is_hidden()


# Folding


def test_blocks_and_repeats_fold_and_unfold(show: Show) -> None:
    page = show(RESIDUAL)
    assert "residual.conv1" not in drawn(page)
    fold(page, "residual")
    assert "residual.conv1" in drawn(page)
    assert layer(page, "residual").get_attribute("aria-expanded") == "true"
    fold(page, "residual")
    assert "residual.conv1" not in drawn(page)
    layer(page, "stage").locator("> .name").dblclick()
    assert {"stage.0", "stage.1"} <= set(drawn(page))
    page.click("#unfold")
    assert {"residual.conv1", "stage.1.shortcut"} <= set(drawn(page))
    page.click("#fold")
    assert not {"residual.conv1", "stage.0"} & set(drawn(page))


def test_a_long_repeat_shows_its_ends_until_asked(show: Show) -> None:
    page = show(GPT)
    fold(page, "layer")
    assert [path for path in drawn(page) if path.startswith("layer.")] == [
        "layer.0.block",
        "layer.1.block",
        "layer.47.block",
    ]
    assert "45 more passes" in page.locator(".pill.more").text_content()
    page.locator(".pill.more").click()
    assert sum(path.startswith("layer.") for path in drawn(page)) == 48


def test_a_layer_that_is_folded_away_is_unfolded_when_it_is_selected(show: Show) -> None:
    page = show(GPT)
    page.fill("#search", "layer.31.block.attention")
    page.keyboard.press("Enter")
    assert selected(page) == "layer.31.block.attention"
    assert "layer_31_block_attention," in marked(page, "gpt48_numpy.py")
    assert "self.attention = MultiHeadAttention(1600, 25, 64, causal=True)" in marked(
        page, "gpt48_torch.py"
    )


# The search


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("conv3", ["conv3", "conv3.relu"]),
        ("max_pool2d", ["max_pool2d", "max_pool2d_2"]),
        ("11x11x64", ["conv2", "conv2.relu"]),
        ("11 × 11 × 64", ["conv2", "conv2.relu"]),
        ("(batch, 576)", ["flatten"]),
        ("no such layer", []),
    ],
)
def test_the_search_finds_names_kinds_and_shapes(show: Show, wanted: str, found: list[str]) -> None:
    page = show(MNIST)
    page.keyboard.press("/")
    page.keyboard.type(wanted)
    assert page.locator("#results li b").all_text_contents() == found
    matches = page.locator("#canvas .layer.match")
    assert matches.evaluate_all("all => all.map(each => each.dataset.path)") == found
    if not found:
        assert page.locator("#results .note").is_visible()
        return
    for path in [*found, found[0]]:
        page.keyboard.press("Enter")
        assert selected(page) == path
    page.keyboard.press("Escape")
    assert page.locator("#canvas .layer.match").count() == 0
    assert page.locator("#results").is_hidden()


def test_a_folded_block_is_highlighted_for_what_is_in_it(show: Show) -> None:
    page = show(RESIDUAL)
    page.fill("#search", "residual.shortcut")
    assert page.locator("#canvas .layer.match").get_attribute("data-path") == "residual"
    page.locator("#results li").first.click()
    assert selected(page) == "residual.shortcut"


def test_the_legend_highlights_a_family(show: Show) -> None:
    page = show(MNIST)
    page.locator("#legend button", has_text="pooling").click()
    matches = page.locator("#canvas .layer.match")
    assert matches.evaluate_all("all => all.map(each => each.dataset.family)") == ["pooling"] * 2


# Keys


def test_the_arrows_go_from_layer_to_layer(show: Show) -> None:
    page = show(RESIDUAL)
    page.keyboard.press("Tab")
    layer(page, "stem").focus()
    seen = []
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "Enter", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(selected(page))
    assert seen == ["stem", "batch_norm", "relu", "residual", "residual", "residual.conv1"]
    page.keyboard.press("ArrowRight")
    assert selected(page) == "residual.shortcut"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowUp")
    assert selected(page) == "residual"
    page.keyboard.press("Enter")
    assert "residual.conv1" not in drawn(page)
    page.keyboard.press("ArrowDown")
    assert selected(page) == "stage"


def test_a_source_is_walked_with_the_keyboard(show: Show) -> None:
    page = show(MNIST)
    line(page, "mnist_cnn_torch.py", "class MnistCnn").click()
    for _ in range(5):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert selected(page) == "conv1"


def test_single_keys(show: Show) -> None:
    page = show(RESIDUAL)
    page.keyboard.press("e")
    assert "residual.conv1" in drawn(page)
    page.keyboard.press("c")
    assert "residual.conv1" not in drawn(page)
    page.keyboard.press("m")
    assert page.locator('#metric [aria-pressed="true"]').inner_text() == "FLOPs"
    click(page, "stem")
    page.keyboard.press("n")
    places = pane(page, "image_classification_torch.py").locator(".places")
    assert places.inner_text().startswith("2 of ")
    page.keyboard.press("p")
    assert places.inner_text().startswith("1 of ")
    page.keyboard.press("3")
    assert page.locator(".pane:visible").count() == 1
    page.keyboard.press("0")
    assert page.locator(".pane:visible").count() == 4
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#keys").is_hidden()


# Looking


def test_wheel_drag_and_buttons_move_and_zoom(show: Show) -> None:
    page = show(MNIST)
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    place = (box["x"] + 40, box["y"] + box["height"] - 60)

    def view() -> tuple[float, float, float]:
        return tuple(page.evaluate("[VIEW.x, VIEW.y, VIEW.scale]"))

    x, y, scale = view()
    page.mouse.move(*place)
    page.mouse.wheel(0, 50)
    assert view() == (x, y - 50, scale)
    page.mouse.down()
    page.mouse.move(place[0] + 30, place[1] - 20, steps=4)
    page.mouse.up()
    assert view() == pytest.approx((x + 30, y - 70, scale))
    page.click("#in")
    assert view()[2] > scale
    page.click("#fit")
    assert view() == pytest.approx((x, y, scale))


def test_the_border_between_network_and_sources_moves(show: Show) -> None:
    page = show(MNIST)

    def width() -> float:
        return float(page.locator("#network").evaluate("each => each.clientWidth"))

    before = width()
    box = page.locator("#split").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 3, 400)
    page.mouse.down()
    page.mouse.move(box["x"] + 203, 400, steps=4)
    page.mouse.up()
    assert width() == pytest.approx(before + 200, abs=4)
    page.locator("#split").press("ArrowLeft")
    assert width() < before + 180


def test_the_theme_follows_the_system_and_turns(show: Show) -> None:
    page = show(MNIST, color_scheme="dark")

    def brightness() -> int:
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour[4:-1].split(","))

    assert brightness() < 150
    page.click("#theme")
    assert brightness() > 600
    page.click("#theme")
    assert brightness() < 150


@pytest.mark.parametrize("spec", [*EXAMPLES, RESNET, GPT], ids=lambda path: path.stem)
def test_nothing_overlaps(show: Show, spec: Path) -> None:
    """Boxes beside each other are apart, and every shape is beside no other text."""
    page = show(spec, "--backend", "torch", "--expand")
    boxes = page.evaluate(
        """() => {
          const box = ({ x, y, right, bottom }) => [x, y, right, bottom];
          const of = selector => [...document.querySelectorAll(selector)]
            .map(each => box(each.getBoundingClientRect()));
          return [
            of("#canvas .card > .face, #canvas .pill > rect"),
            of("#canvas text.shape, #canvas text.name"),
          ];
        }"""
    )
    for kind in boxes:
        for index, a in enumerate(kind):
            for b in kind[:index]:
                apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
                assert apart, (a, b)


# Figures


@pytest.mark.parametrize("spec", [MNIST, RESIDUAL, GPT], ids=lambda path: path.stem)
def test_the_figures_shown_are_those_of_the_summary(
    show: Show, spec: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(cli, ["summary", str(spec), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    page = show(spec, "--backend", "torch")
    assert page.locator("#totals dd").first.inner_text() == f"{summary['parameters']['trained']:,}"
    for each in summary["layers"][:: max(1, len(summary["layers"]) // 12)]:
        page.evaluate("path => select(PLACES.get(path)[0])", each["path"])
        figures = page.locator("#details .figures b").all_inner_texts()
        assert figures[0] == f"{each['parameters']:,}"
        assert [shape in page.locator("#details dl").inner_text() for shape in each["outputs"]]


# Hostile texts


def test_texts_of_a_spec_are_shown_and_nothing_else(show: Show, tmp_path: Path) -> None:
    attack = (
        "</script><script>document.title='broken'</script><img src=x onerror=alert(1)><!-- ]]> --"
    )
    long = "layer_with_a_name_that_goes_on_and_on_for_longer_than_any_box_should_be_wide"
    spec = tmp_path / "<b>'\"&amp;.yaml"
    spec.write_text(
        f"# {attack}\nspecc: 1\nname: net\ninputs: {{x: {{shape: [4]}}}}\n"
        f"targets: {{y: {{shape: [2]}}}}\n"
        f"layers:\n  - {{name: {long}, dense: {{units: 2}}}}  # {attack}\noutputs: [{long}]\n"
        f"training: {{loss: {{mean_squared_error: {{prediction: {long}, target: y}}}}}}\n"
    )
    page = show(spec)
    assert page.title() == "net"
    assert page.locator("script").count() == 2
    assert page.locator("img, b b, iframe").count() == 0
    assert pane(page, spec.name.replace('"', '\\"')).locator(".file").inner_text() == spec.name
    assert attack in page.locator(".pane").first.inner_text()
    click(page, long)
    assert page.locator("#details h2").inner_text().startswith(long)
    box = layer(page, long).locator("> .face").bounding_box()
    name = layer(page, long).locator("> .name").bounding_box()
    assert box and name and name["x"] + name["width"] < box["x"] + box["width"]
