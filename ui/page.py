"""The Gradio page. One column is the place where `assets/app/main.js` builds the Read work space.

Viewports, conversation and upload talk to our own routes and never to Gradio's queue or file cache, so the column is
empty here: nothing of a patient passes through Gradio, and the page needs no `eval` (which `gr.HTML` would).
"""

from __future__ import annotations

import asyncio

import gradio as gr
from fastapi import FastAPI

from ui.theme import theme

_CSS = """
.gradio-container, .gradio-container > .main, .gradio-container .wrap, #interval-read {
  padding: 0 !important; margin: 0 !important; max-width: none !important; border: 0 !important; gap: 0 !important;
}
footer { display: none !important; }
"""


def page() -> gr.Blocks:
    """The blocks of the page."""
    with gr.Blocks(title="Interval", fill_width=True, fill_height=True, analytics_enabled=False) as blocks:
        gr.Column(elem_id="interval-read")
    return blocks


def mount(app: FastAPI) -> FastAPI:
    """Mount the page at `/`, after every route of our own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_mounted(app))
    return _mount(app, page())


async def _mounted(app: FastAPI) -> FastAPI:
    """Inside a running loop: without one Gradio makes a loop for each of its locks and closes none of them."""
    return _mount(app, page())


def _mount(app: FastAPI, blocks: gr.Blocks) -> FastAPI:
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        theme=theme(),
        css=_CSS,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        pwa=False,
        show_error=False,
        enable_monitoring=False,
        max_file_size=1,
        mcp_server=False,
    )
    return mounted
