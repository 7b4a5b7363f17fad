"""A report as one page of HTML: nothing is loaded, nothing runs, light and dark as the reader's system is."""

from collections.abc import Iterable, Mapping
from html import escape

from tlexp.studies.report.document import Picture, Report, Section, Table
from tlexp.studies.report.rendering import inline_svg, theme_rules

_STYLE = """
:root{color-scheme:light dark;%(light)s}
@media (prefers-color-scheme:dark){:root{%(dark)s}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1.5rem 1rem 4rem;font:1rem/1.55 system-ui,sans-serif;
background:var(--cffffff);color:var(--c1f2328);overflow-wrap:break-word}
h1{font-size:1.7rem;line-height:1.2;margin:.3rem 0 1rem}
h2{font-size:1.25rem;margin:2.4rem 0 .6rem;border-bottom:1px solid var(--cd8dee4);padding-bottom:.25rem}
p,li{max-width:48rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.1rem 1rem;margin:0}
dt{color:var(--c656d76)}dd{margin:0;min-width:0}
.notice{border-left:.25rem solid var(--c656d76);padding:.2rem .8rem;margin:1rem 0}
figure{margin:1rem 0;max-width:46rem}
figure svg{width:100%%;height:auto;display:block}
figure svg text{font-family:"DejaVu Sans",Verdana,sans-serif}
figcaption{color:var(--c656d76);font-size:.9rem;margin-top:.4rem}
.wide{overflow-x:auto;margin:.7rem 0}
table{border-collapse:collapse;font-size:.92rem}
caption{text-align:left;color:var(--c656d76);padding:.2rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .7rem .3rem 0;border-bottom:1px solid var(--cd8dee4);
min-width:4.5rem;max-width:30rem}
th{font-weight:600}
td.long{min-width:16rem}
summary{cursor:pointer;margin:.5rem 0}
pre{overflow-x:auto;border:1px solid var(--cd8dee4);border-radius:.3rem;padding:.7rem}
code{font:.9rem ui-monospace,monospace}
@media (max-width:40rem){dl{grid-template-columns:1fr}dd{margin-bottom:.4rem}
.prose,.prose tbody,.prose caption{display:block}.prose thead{display:none}
.prose tr{display:block;padding:.5rem 0;border-bottom:1px solid var(--cd8dee4)}
.prose td{display:block;border:0;padding:.1rem 0;min-width:0}
.prose td::before{content:attr(data-head) ": ";color:var(--c656d76)}}
@media print{body{max-width:none}details{break-inside:avoid}figure,table{break-inside:avoid}}
"""
_LONG = 60
"""A cell of more letters gets room to be read, and on a telephone its row becomes a paragraph."""


def build_page(report: Report, *, dark: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: What it says.
        dark: Colours of the figures, light -> dark.
    """
    style = _STYLE % {"light": theme_rules(dark, is_dark=False), "dark": theme_rules(dark, is_dark=True)}
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in report.facts)
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}</title>",
        f"<style>{style}</style></head><body>",
        f"<header><h1>{escape(report.title)}</h1><dl>{facts}</dl></header><main>",
        *(f'<p class="notice">{escape(text)}</p>' for text in report.notices),
        *(_section(section, dark) for section in report.sections),
        "</main></body></html>",
    ]
    return "\n".join(lines) + "\n"


def _section(section: Section, dark: Mapping[str, str]) -> str:
    parts = [f"<section><h2>{escape(section.title)}</h2>"]
    parts += [f"<p>{escape(text)}</p>" for text in section.paragraphs]
    if section.picture is not None:
        parts.append(_figure(section.picture, dark))
    parts += [_table(table) for table in section.tables]
    if section.lines:
        parts.append(_list(section.lines))
    parts += [
        f"<details><summary>{escape(table.title)}</summary>{_table(table, titled=False)}</details>"
        for table in section.folded
        if table.rows
    ]
    if section.commands:
        parts.append(f"<pre><code>{escape(chr(10).join(section.commands))}</code></pre>")
    return "\n".join([*parts, "</section>"])


def _figure(picture: Picture, dark: Mapping[str, str]) -> str:
    name = escape(picture.name, quote=True)
    drawing = inline_svg(picture.drawn.svg, name=picture.name, dark=dark)
    told = f'<figcaption id="{name}-caption">{escape(picture.alt)} {escape(picture.caption)}</figcaption>'
    return f"<figure>{drawing}{told}</figure>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _table(table: Table, *, titled: bool = True) -> str:
    caption = f"<caption>{escape(table.title)}</caption>" if titled else ""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in table.head)
    rows = "".join(f"<tr>{''.join(map(_cell, table.head, row))}</tr>" for row in table.rows)
    prose = " class=prose" if any(len(text) > _LONG for row in table.rows for text in row) else ""
    return (
        f'<div class="wide" tabindex="0"><table{prose}>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(head: str, text: str) -> str:
    long = " class=long" if len(text) > _LONG else ""
    return f'<td{long} data-head="{escape(head)}">{escape(text)}</td>'
