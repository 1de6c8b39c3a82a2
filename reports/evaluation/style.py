"""How the page of an evaluation looks and answers to clicks, besides what every page shares."""

from __future__ import annotations

STYLE = """
:root { --wrong: #b3321a; --right: #0b7a5c; --over: #e39a86; --under: #9fd0bd; --faint: #eef2f5; }
@media (prefers-color-scheme: dark) {
  :root { --wrong: #ff9a80; --right: #6fd3b0; --over: #a8523b; --under: #3c7f69; --faint: #222b33; }
}
ul { margin: 0; padding-left: 1.1rem; }
li + li { margin-top: .25rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
h3 span { color: var(--muted); font-weight: 400; white-space: nowrap; margin-left: .4rem; }
.named { position: relative; display: inline-block; padding-left: 1.15rem; }
.named::before { content: ""; position: absolute; left: 0; top: .36em; width: .7rem; height: .7rem;
  border-radius: 3px; background: var(--color); }
.mark { font: 600 .72rem/1 system-ui, sans-serif; color: var(--wrong); border: 1px solid currentColor;
  border-radius: 4px; padding: .1rem .3rem; margin-left: .3rem; white-space: nowrap; }
.wide th:first-child { position: sticky; left: 0; background: var(--sheet); }
th, td { padding: .28rem .5rem; }
.bar { min-width: 4rem; }
.names :is(th, td):nth-child(2) { text-align: left; }
:is(.wide, .names) + p { margin-top: 1.2rem; }
.gains { margin-top: 1.2rem; }
.gains td:nth-child(3) { min-width: 9rem; padding: 0 .6rem; }
.gains th:nth-child(3) { text-align: center; }
.span { position: relative; height: 1.7rem; color: var(--muted);
  background: linear-gradient(var(--line), var(--line)) no-repeat 50% 0 / 1px 100%;
}
.span.better { color: var(--right); }
.span.worse { color: var(--wrong); }
.span i { position: absolute; top: calc(50% - 1.5px); height: 3px; border-radius: 2px; background: currentColor;
  opacity: .55; left: var(--low); right: calc(100% - var(--high)); }
.span b { position: absolute; top: calc(50% - .3rem); left: calc(var(--mean) - .3rem); width: .6rem; height: .6rem;
  border-radius: 50%; background: currentColor; }
.sortable thead th { cursor: pointer; user-select: none; }
.sortable thead th:hover { color: var(--accent); }
.sortable th[aria-sort=ascending]::after { content: " \\2191"; }
.sortable th[aria-sort=descending]::after { content: " \\2193"; }
article + article { margin-top: 1.4rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
article > p { margin: .1rem 0 0; font-size: .87rem; color: var(--muted); }
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: .6rem; }
.pictures figure { margin: 0; flex: 1 1 12rem; max-width: 15.6rem; }
figcaption { font-size: .8rem; color: var(--muted); }
.pictures img { width: 100%; background: #000; border-radius: 5px; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1.2rem 0 0; max-width: none; font-size: .82rem; }
.legend .named { white-space: nowrap; }
.split { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.split > div { flex: 1 1 16rem; }
.split p { margin: 0; }
.reliability { flex: 1 1 18rem; max-width: 25rem; min-width: 0; width: 100%; }
.reliability text { font: 11px system-ui, sans-serif; fill: var(--muted); }
.reliability .grid { stroke: var(--line); fill: none; }
.reliability .axis { stroke: var(--muted); fill: none; }
.reliability .ideal { stroke: var(--ink); stroke-dasharray: 4 4; fill: none; }
.reliability .right { fill: var(--accent); }
.reliability .over { fill: var(--over); }
.reliability .under { fill: var(--under); }
.reliability .pixels { fill: var(--muted); opacity: .6; }
@media (max-width: 40rem) {
  .pictures figure { flex: 0 0 calc(50% - .3rem); max-width: none; }
  .wide th:first-child { min-width: 8.5rem; white-space: normal; line-height: 1.3; }
  .cards { grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); }
  .card b { font-size: 1.6rem; }
  .card p { font-size: .8rem; }
}
""".strip()

SCRIPT = """
document.addEventListener("click", ({ target }) => {
  const head = target.closest(".sortable thead th");
  if (!head) return;
  const heads = [...head.parentNode.children], column = heads.indexOf(head);
  const rising = head.getAttribute("aria-sort") !== "ascending";
  heads.forEach(one => one.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", rising ? "ascending" : "descending");
  const body = head.closest("table").tBodies[0];
  const key = row => row.children[column].textContent.trim();
  const both = (a, b) => isNaN(parseFloat(a)) || isNaN(parseFloat(b))
    ? (isNaN(parseFloat(a)) && !isNaN(parseFloat(b))) - (isNaN(parseFloat(b)) && !isNaN(parseFloat(a)))
      || a.localeCompare(b)
    : parseFloat(a) - parseFloat(b);
  const rows = [...body.rows].sort((a, b) => (rising ? 1 : -1) * both(key(a), key(b)));
  body.append(...rows);
});
""".strip()
