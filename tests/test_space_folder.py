"""The folder space/ as a repository of its own: its header, its requirements, its colours."""

import re
import tomllib
from itertools import product
from pathlib import Path

import yaml

import look

ROOT = Path(__file__).resolve().parent.parent
SPACE = ROOT / "space"
HEADER = yaml.safe_load((SPACE / "README.md").read_text(encoding="utf-8").split("---")[1])
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#")


def test_the_header_says_what_hugging_face_runs():
    assert HEADER["sdk"] == "gradio"
    assert HEADER["sdk_version"] == PINS["gradio"]
    assert (SPACE / HEADER["app_file"]).is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert HEADER["python_version"] == project["requires-python"].removeprefix(">=")
    assert HEADER["license"] == project["license"].lower()
    assert len(HEADER["short_description"]) <= 60  # more is refused
    assert len(HEADER["title"]) <= 50
    assert HEADER["models"]


def test_the_requirements_bring_the_package_and_leave_gradio_to_the_header():
    lines = (SPACE / "requirements.txt").read_text().splitlines()
    named = [re.match(r"[\w-]+", line)[0] for line in lines if line and not line.startswith("#")]
    assert "med3d-r1" in named
    assert "gradio" not in named


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb as the Web Content Accessibility Guidelines define it."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: str, second: str) -> float:
    darker, lighter = sorted(map(luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def test_text_can_be_read_on_every_ground_it_stands_on():
    """At least 4.5 to 1, the guidelines' level AA."""
    assert round(contrast("#000000", "#ffffff"), 1) == 21.0
    colors = look.COLORS
    grounds = [colors[f"{name}_fill"] for name in ("body_background", "block_background", "input_background")]
    texts = ["body_text_color", "body_text_color_subdued", "block_label_text_color", "input_placeholder_color"]
    pairs = list(product((colors[text] for text in texts), grounds))
    for name in ("button_primary", "button_secondary"):
        pairs += [(colors[f"{name}_text_color"], colors[f"{name}_background_fill{state}"]) for state in ("", "_hover")]
    pairs += [
        (colors["checkbox_label_text_color"], colors[f"checkbox_label_background_fill{state}"])
        for state in ("", "_hover", "_selected")
    ]
    assert {pair: round(contrast(*pair), 2) for pair in pairs if contrast(*pair) < 4.5} == {}


def test_colours_are_the_same_in_both_modes_and_no_font_is_fetched():
    theme = look.theme()
    for name, color in look.COLORS.items():
        assert getattr(theme, name) == color
        assert getattr(theme, f"{name}_dark", color) in (color, None)
    assert not theme._stylesheets
    assert "http" not in look.STYLE.read_text(encoding="utf-8")
