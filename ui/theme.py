"""The colours Gradio draws with, so that its own components in later work spaces match `assets/styles/tokens.css`."""

from __future__ import annotations

import gradio as gr

_CYAN = gr.themes.Color(
    name="interval",
    c50="#eefafc",
    c100="#d5f1f6",
    c200="#aee3ec",
    c300="#7fd0de",
    c400="#55bacd",
    c500="#2f9fb5",
    c600="#1b8197",
    c700="#0b6478",
    c800="#0b5163",
    c900="#0d4150",
    c950="#072a35",
)
_GREY = gr.themes.Color(
    name="graphite",
    c50="#f6f7f8",
    c100="#eceef1",
    c200="#dfe3e8",
    c300="#c3cad3",
    c400="#98a2ae",
    c500="#7d8794",
    c600="#4a5460",
    c700="#323943",
    c800="#1b1f24",
    c900="#14171b",
    c950="#0e1013",
)
_FONT = ("Inter Variable", "system-ui", "sans-serif")


def theme() -> gr.themes.Base:
    """Interval's theme: graphite surfaces, one cyan accent, local fonts only."""
    return gr.themes.Base(
        primary_hue=_CYAN,
        secondary_hue=_CYAN,
        neutral_hue=_GREY,
        radius_size=gr.themes.sizes.radius_sm,
        font=list(_FONT),
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"],
    ).set(
        body_background_fill="#f1f3f5",
        body_background_fill_dark="#0e1013",
        body_text_color="#15181c",
        body_text_color_dark="#e8eaed",
    )
