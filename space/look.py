"""How the Space looks: a dark reading room, in fonts of the visitor's own machine."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

STYLE = Path(__file__).with_name("style.css")

DARK = "() => document.body.classList.add('dark')"
"""Run by the browser when the page opens: a CT is read in the dark, whatever the system prefers."""

_GROUND, _PANEL, _FIELD, _LINE = "#0a0e13", "#131a22", "#0d1218", "#33424f"
_TEXT, _QUIET, _ACCENT = "#e8eef4", "#a3b4c4", "#5adcc8"

COLORS = {
    "body_background_fill": _GROUND,
    "body_text_color": _TEXT,
    "body_text_color_subdued": _QUIET,
    "background_fill_primary": _PANEL,
    "background_fill_secondary": _FIELD,
    "block_background_fill": _PANEL,
    "block_border_color": "#24303c",
    "block_label_background_fill": _PANEL,
    "block_label_text_color": _QUIET,
    "block_title_text_color": "#cfdbe6",
    "block_info_text_color": _QUIET,
    "border_color_primary": "#2c3a47",
    "border_color_accent": _ACCENT,
    "color_accent": _ACCENT,
    "color_accent_soft": "#17323a",
    "input_background_fill": _FIELD,
    "input_border_color": _LINE,
    "input_border_color_focus": _ACCENT,
    "input_placeholder_color": "#8b9dae",
    "slider_color": _ACCENT,
    "button_primary_background_fill": _ACCENT,
    "button_primary_background_fill_hover": "#7fe8d8",
    "button_primary_text_color": "#04201c",
    "button_secondary_background_fill": "#1d2833",
    "button_secondary_background_fill_hover": "#283644",
    "button_secondary_text_color": _TEXT,
    "checkbox_background_color": _FIELD,
    "checkbox_background_color_selected": "#1a8a7a",
    "checkbox_border_color": "#5c7080",
    "checkbox_label_background_fill": "#1a242e",
    "checkbox_label_background_fill_hover": "#22303c",
    "checkbox_label_background_fill_selected": "#17424a",
    "checkbox_label_text_color": _TEXT,
    "checkbox_label_text_color_selected": _TEXT,
}
"""Variable of gradio's themes -> colour; the same in its light and its dark mode."""


def theme() -> gr.themes.Base:
    """gradio's plain theme in `COLORS`."""
    plain = gr.themes.Base(
        font=["Inter", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"],
        font_mono=["Cascadia Code", "Menlo", "Consolas", "monospace"],
    )
    dark = {f"{name}_dark": color for name, color in COLORS.items() if hasattr(plain, f"{name}_dark")}
    return plain.set(**COLORS, **dark)


__all__ = ["COLORS", "DARK", "STYLE", "theme"]
