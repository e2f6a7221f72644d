"""How the page looks and what it does in the browser by itself: the theme with local fonts, the style, the script."""

import json
from pathlib import Path

import gradio as gr

HERE = Path(__file__).parent
FONTS = ("system-ui", "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", "sans-serif")
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Gradio's plain theme in blue and grey, with fonts that the reader's machine has."""
    return gr.themes.Default(
        primary_hue=gr.themes.colors.blue, neutral_hue=gr.themes.colors.slate, font=list(FONTS), font_mono=list(MONO)
    )


def style() -> str:
    return (HERE / "page.css").read_text(encoding="utf-8")


def script(language: str) -> str:
    """The page's own script, and the language for screen readers and hyphenation."""
    tag = {"zh": "zh-CN"}.get(language, language)
    code = (HERE / "page.js").read_text(encoding="utf-8")
    return f"() => {{ document.documentElement.lang = {json.dumps(tag)};\n{code}\n}}"
