"""How reports look, on screens light or dark and on paper, and the lines that sort their tables."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --pale: #626b75; --paper: #ffffff;
  --card: #f5f6f7; --line: #d9dde1; --bar: #c9dcf2; --accent: #1f5fa8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ea; --pale: #9aa4ae; --paper: #16191c;
  --card: #1f2327; --line: #363c42; --bar: #27466b; --accent: #7fb2ec; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 28px 24px 48px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 19px; margin: 40px 0 6px; padding-top: 10px; border-top: 1px solid var(--line); }
h3 { font-size: 15px; margin: 22px 0 6px; overflow-wrap: anywhere; }
p { margin: 6px 0 12px; max-width: 80ch; overflow-wrap: anywhere; }
.note, figcaption, .lead { color: var(--pale); }
nav { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 12px 0 0; font-size: 14px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0 0; }
.card { flex: 1 1 136px; max-width: 240px; padding: 10px 14px 12px; border-radius: 8px;
  background: var(--card); border: 1px solid var(--line); }
.card b { display: block; font-size: 25px; line-height: 1.25; font-weight: 600;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.card span { display: block; font-size: 13px; }
.card small { display: block; font-size: 12px; line-height: 1.35; color: var(--pale);
  overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 10px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: baseline; }
th { font-weight: 600; }
th:first-child, .pairs td { text-align: left; }
tbody th { font-weight: 400; min-width: 124px; max-width: 340px; overflow-wrap: anywhere; }
thead th { vertical-align: bottom; color: var(--pale); font-size: 13px; }
.pairs th { color: var(--pale); min-width: 170px; max-width: 240px; vertical-align: top; }
.pairs td { overflow-wrap: anywhere; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
th button::after { content: "\\2195"; opacity: 0.45; padding-left: 4px; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
.swatch { display: inline-block; width: 12px; height: 12px; margin-right: 7px; border-radius: 2px;
  border: 1px solid #8a8a85; vertical-align: -1px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 8px 0; padding: 0;
  list-style: none; font-size: 13px; }
.legend li { overflow-wrap: anywhere; }
.matrix td { text-align: center; min-width: 68px; padding: 4px 8px; }
.matrix td small { display: block; font-size: 11.5px; opacity: 0.8; }
.matrix thead th { text-align: center; min-width: 78px; max-width: 130px; overflow-wrap: anywhere; }
.matrix.many thead th span { writing-mode: vertical-rl; transform: rotate(180deg);
  max-height: 130px; }
.matrix.many thead th { min-width: 0; } .matrix.many tbody th { min-width: 190px; }
.matrix.many td { min-width: 0; padding: 3px 5px; font-size: 12px; }
.matrix .corner { font-weight: 400; text-align: left; }
figure { margin: 0; break-inside: avoid; }
figcaption { font-size: 13px; line-height: 1.4; margin-top: 4px; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; }
.chart { background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: 6px; }
.beside { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 4px 28px; }
.beside > * { min-width: 0; max-width: 100%; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 18px; }
.maps.one { grid-template-columns: minmax(0, 620px); }
.maps img, .row img { width: 100%; image-rendering: pixelated; border: 1px solid var(--line); }
.window { margin: 14px 0 20px; }
.row { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 8px; }
.row.three { grid-template-columns: repeat(3, minmax(0, 1fr)); max-width: 810px; }
.row span { font-size: 12px; color: var(--pale); }
footer { margin-top: 44px; padding-top: 10px; border-top: 1px solid var(--line); font-size: 13px;
  color: var(--pale); }
code { font-size: 13px; overflow-wrap: anywhere; }
@media (max-width: 640px) { main { padding: 18px 14px 36px; }
  .row, .row.three { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@page { margin: 14mm; }
@media print { :root { color-scheme: light; --ink: #000000; --pale: #4b5259; --paper: #ffffff;
    --card: #f5f6f7; --line: #c9cdd1; --bar: #c9dcf2; --accent: #000000; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10.5pt; } table { font-size: 9pt; } thead th { font-size: 8.5pt; }
  main { max-width: none; padding: 0; } nav { display: none; }
  th, td { padding: 3px 7px; } th button::after { content: none; }
  .matrix td { min-width: 0; }
  .matrix.many td { font-size: 6.5pt; padding: 2px 1px; } .matrix.many td small { display: none; }
  .matrix.many tbody th { min-width: 100px; max-width: 130px; font-size: 7.5pt; }
  .card { break-inside: avoid; } .cards { gap: 8px; }
  .card b { font-size: 17pt; } .wide { overflow: visible; }
  .maps { grid-template-columns: repeat(2, 1fr); } .maps.one { grid-template-columns: 105mm; }
  .chart { max-width: 125mm; } .beside .chart { max-width: 84mm; }
  .beside.broad .chart { max-width: 120mm; } .wide:not(.long) { break-inside: avoid; }
  .beside { gap: 0 14px; } .legend { break-after: avoid; }
  h2 { margin-top: 22px; } .row { max-width: 150mm; }
  h2, h3, h2 + .note { break-after: avoid; } tr { break-inside: avoid; } }
"""
"""CSS of a page. Colours of pictures and cells are set where these are made."""

SCRIPT = """
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = table.rows[1].cells[column].tagName === "TH" ? "ascending" : "descending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((each) => each.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      const text = (row) => row.cells[column].dataset.value;
      const rows = [...table.tBodies[0].rows];
      const numeric = rows.every((row) => !Number.isNaN(Number(text(row))));
      rows.sort((a, b) => {
        if (!text(a) || !text(b)) return !text(a) - !text(b);
        return sign * (numeric ? text(a) - text(b) : text(a).localeCompare(text(b)));
      });
      table.tBodies[0].append(...rows);
    });
  });
}
"""
"""Sorts tables by a click on a title. Without it they are read as they stand."""
