"""The style of the report page: its colours for light and dark, and the rules that use them."""

from collections.abc import Mapping

# Text colours have a contrast of at least 4.5 on every background, drawing colours of at least 3 (WCAG 2.2, 1.4.3 and
# 1.4.11); the tests compute it.
TEXT = ("ink", "quiet", "link", "good", "bad")
BACKGROUNDS = ("paper", "panel")
DRAWING = ("cond", "uncond", "good", "bad")
LIGHT: Mapping[str, str] = {
    "paper": "#ffffff",
    "panel": "#f3f5f7",
    "ink": "#20262c",
    "quiet": "#525b65",
    "line": "#d5dade",
    "link": "#1f5fa8",
    "good": "#1f6b3a",
    "bad": "#a3302c",
    "cond": "#2f6db3",
    "uncond": "#bd6a18",
}
DARK: Mapping[str, str] = {
    "paper": "#15191e",
    "panel": "#1f252c",
    "ink": "#e6eaee",
    "quiet": "#a9b3bd",
    "line": "#38414b",
    "link": "#82b5ee",
    "good": "#6fce94",
    "bad": "#f29089",
    "cond": "#5b9be0",
    "uncond": "#e39a4d",
}

RULES = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 28px 24px 64px; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: 25px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 44px 0 8px; padding-top: 14px;
  border-top: 2px solid var(--line); } h3 { font-size: 16px; margin: 24px 0 6px; }
h1, h2, h3, p, li, dd, td, figcaption { overflow-wrap: anywhere; }
a { color: var(--link); }
p { margin: 6px 0; } .quiet, figcaption { color: var(--quiet); font-size: 13.5px; }
nav { margin: 20px 0; padding: 10px 16px; background: var(--panel); border-radius: 6px; }
nav h2 { font-size: 15px; margin: 0; padding: 0; border: 0; } nav ol { margin: 6px 0 0; padding-left: 24px; }
table { border-collapse: collapse; margin: 8px 0; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--quiet); } td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
.compare td { min-width: 10em; }
tr.differs th, tr.differs td { background: var(--panel); font-weight: 600; color: var(--ink); }
tr.differs th:first-child, tr.differs td:first-child { padding-left: 6px; }
.scroll { overflow-x: auto; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: 10px 12px; overflow-x: auto;
  font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", monospace; }
figure { margin: 12px 0; } figcaption { margin-bottom: 4px; max-width: 640px; }
img { max-width: min(100%, 960px); height: auto; border: 1px solid var(--line); border-radius: 6px; background: #fff; }
video { max-width: 100%; height: auto; border-radius: 6px; background: #000; display: block; }
.pixels { image-rendering: pixelated; }
.row { display: flex; flex-wrap: wrap; gap: 8px 26px; align-items: flex-start; } .row > div { max-width: 100%; }
.side { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(320px, 100%), 1fr)); gap: 8px 26px; }
.met, .missed, .open { display: inline-block; border: 1px solid; border-radius: 4px; padding: 0 7px; font-size: 13px;
  font-weight: 600; } .met { color: var(--good); } .missed { color: var(--bad); } .open { color: var(--quiet); }
.alert { border-left: 5px solid var(--bad); background: var(--panel); border-radius: 4px; padding: 8px 14px;
  margin: 10px 0; } .alert strong { color: var(--bad); }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--link); }
dl { margin: 6px 0; font-size: 13.5px; display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; }
dt { font-weight: 600; } dd { margin: 0; color: var(--quiet); }
svg text { font: 11px system-ui, "DejaVu Sans", sans-serif; fill: var(--quiet); }
.cond { fill: var(--cond); } .uncond { fill: var(--uncond); } .switch { stroke: var(--quiet); stroke-dasharray: 4 3; }
.skipped { fill: none; stroke: var(--quiet); stroke-dasharray: 2 2; }
@media (max-width: 600px) { body { padding: 16px 14px 48px; } dl { grid-template-columns: 1fr; }
  dd { margin: 0 0 4px; } .chart { overflow-x: auto; } .chart img { max-width: none; width: 720px; } }
"""


def stylesheet() -> str:
    """CSS with a light and a dark set of colours, chosen by what the reader's system prefers."""
    return (
        f":root {{ color-scheme: light dark; {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}{RULES}"
    )


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
