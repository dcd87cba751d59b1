"""The page, one module a tab. `app.py` puts them together; what is computed is in `mdmf_core`.

A tab is a function `tab(context, chosen) -> None`, called inside its `gr.Tab`: `context` is the `context.Context` of
the server, `chosen` the `gr.State` with the session's choice of model (a `Choice` or None). A handler asks
`context.detector(chosen)` for its detector.
"""
