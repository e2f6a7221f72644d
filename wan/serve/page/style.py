"""How the page looks and what it does in the browser by itself: the theme with local fonts, the style, the script."""

import json
from pathlib import Path

import gradio as gr

HERE = Path(__file__).parent
FONTS = ("system-ui", "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's plain theme in blue and grey, with fonts that the reader's machine has, and small text that can be
    read."""
    plain = gr.themes.Default(
        primary_hue=gr.themes.colors.blue, neutral_hue=gr.themes.colors.slate, font=list(FONTS), font_mono=list(MONO)
    )
    return plain.set(
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_400",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
    )


def style() -> str:
    return (HERE / "page.css").read_text(encoding="utf-8")


def script(language: str) -> str:
    """The page's own script, and the language for screen readers and hyphenation."""
    tag = {"zh": "zh-CN"}.get(language, language)
    code = (HERE / "page.js").read_text(encoding="utf-8")
    return f"() => {{ document.documentElement.lang = {json.dumps(tag)};\n{code}\n}}"
