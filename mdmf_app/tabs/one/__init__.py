"""The tab for one picture: `layout` has its components, `handlers` what they call, `events` what happens when."""

from mdmf_app.tabs.one.events import tab

__all__ = ["tab"]
