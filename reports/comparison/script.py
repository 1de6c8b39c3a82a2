"""What the page of a comparison adds to the style of a document, and the script that draws its charts."""

from __future__ import annotations

STYLE = """
.views { display: flex; flex-wrap: wrap; gap: .4rem; margin-bottom: .6rem; }
.views button { font: inherit; font-size: .85rem; padding: .2rem .7rem; border: 1px solid var(--line); cursor: pointer;
  border-radius: 99px; background: none; color: var(--muted); }
.views button[aria-pressed=true] { background: var(--accent); border-color: var(--accent); color: var(--sheet); }
.chart > .plot { min-height: 8rem; }
.notes { margin: 0; padding-left: 1.2rem; max-width: 52rem; }
.notes li { margin-bottom: .35rem; overflow-wrap: anywhere; }
h3 { margin: 1.4rem 0 .4rem; font-size: 1rem; }
tr > :last-child { padding-right: 0; }
tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 10.5rem; }
.says td:last-child { white-space: normal; min-width: 14rem; }
.says tr > :last-child, .lefts td, .lefts th { text-align: left; }
.lefts thead th { white-space: normal; min-width: 6rem; }
.lefts td { white-space: normal; min-width: 6rem; overflow-wrap: anywhere; vertical-align: top; }
details { margin-top: .5rem; }
pre.commands { white-space: pre-wrap; overflow-wrap: anywhere; }
.strips { display: flex; align-items: flex-end; gap: .3rem; margin-bottom: .6rem; padding-bottom: .4rem; }
.strips figure { margin: 0; flex: none; width: calc(var(--span) * max(8.5rem, (100% - 2.4rem) / var(--columns))); }
.strips figcaption { font-size: .85rem; line-height: 1.3; padding-bottom: .3rem; overflow-wrap: anywhere; }
.strips figcaption span { color: var(--muted); }
.strips + img { margin: 0; }
.strips img { border-radius: 3px; }
@media (max-width: 40rem) {
  .wide.strips img { width: 100%; }
  .short table, .short tbody { display: block; }
  .short thead { display: none; }
  .short tr { display: grid; grid-template-columns: 1fr 1fr 1fr; padding: .4rem 0;
    border-bottom: 1px solid var(--line); }
  .short tr > * { border: 0; white-space: normal; padding: 0; min-width: 0; }
  .short tr > :first-child, .short tr > :last-child { grid-column: 1 / -1; }
  .short td:nth-child(2)::after { content: " runs"; }
  .short td:nth-child(2) { text-align: left; }
  .short td:last-child { color: var(--muted); }
}
""".strip()

SCRIPT = """
"use strict";
const inks = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b07d00", "#2f9fd8", "#7f7f7f"],
  dark: ["#56b4e9", "#ff8a3d", "#2fce9f", "#e79ac7", "#f0b429", "#8fd3ff", "#a9b2ba"],
};
const scales = {
  light: [[0, "#eef4f8"], [0.5, "#5aa5cf"], [1, "#08306b"]],
  dark: [[0, "#232d36"], [0.5, "#2f7fae"], [1, "#cbe9ff"]],
};
const screen_ = matchMedia("(prefers-color-scheme: dark)");
const content = () => JSON.parse(document.getElementById("comparison").textContent);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const faint = (color, part) => color + Math.round(255 * part).toString(16).padStart(2, "0");

function paintTrace(trace, mode) {
  const meta = trace.meta || {};
  if (meta.scale) trace.colorscale = scales[mode];
  const color = meta.ink ? css("--ink") : inks[mode][(meta.series || 0) % inks[mode].length];
  if (meta.band) return Object.assign(trace, {fillcolor: faint(color, 0.16)});
  for (const part of ["line", "marker"]) if (trace[part]) trace[part].color = color;
  return trace;
}

function paintLayout(layout, wide) {
  const [ink, muted, line, sheet] = ["--ink", "--muted", "--line", "--sheet"].map(css);
  const clear = "rgba(0,0,0,0)";
  Object.assign(layout, {paper_bgcolor: clear, plot_bgcolor: clear});
  layout.font = {family: "system-ui, sans-serif", size: 13, color: ink};
  layout.modebar = {orientation: "v", bgcolor: clear, color: muted, activecolor: ink};
  layout.hoverlabel = {...layout.hoverlabel, bgcolor: sheet, bordercolor: line, font: {color: ink, size: 13}};
  for (const axis of ["xaxis", "yaxis"])
    layout[axis] = {...layout[axis], gridcolor: line, linecolor: line, zerolinecolor: line};
  for (const shape of layout.shapes || []) shape.line.color = muted;
  for (const note of layout.annotations || []) note.font = {...note.font, color: muted};
  return layout;
}

function legendHeight(traces, width) {
  const named = traces.filter(trace => trace.name && trace.showlegend !== false);
  if (named.length < 2) return 0;
  const size = text => 48 + 7.2 * Math.max(...text.split("<br>").map(part => part.length));
  const deep = Math.max(...named.map(trace => trace.name.split("<br>").length));
  const columns = Math.max(1, Math.floor(width / Math.max(...named.map(trace => size(trace.name)))));
  return Math.ceil(named.length / columns) * (18 * deep + 4);
}

function draw(chart, figures) {
  const figure = structuredClone(figures[chart.dataset.chart][chart.dataset.view]);
  const plot = chart.querySelector(".plot");
  const layout = paintLayout(figure.layout);
  layout.height += legendHeight(figure.data, plot.clientWidth);
  layout.uirevision = chart.dataset.view;
  const mode = screen_.matches ? "dark" : "light";
  const pointer = matchMedia("(hover: hover)").matches;
  const options = {responsive: true, displaylogo: false, displayModeBar: pointer && "hover",
    modeBarButtons: [["zoom2d", "resetScale2d", "toImage"]]};  // Plotly's own list can send the chart to its makers
  return Plotly.react(plot, figure.data.map(trace => paintTrace(trace, mode)), layout, options);
}

document.addEventListener("DOMContentLoaded", () => {
  const figures = content().charts;
  const charts = [...document.querySelectorAll(".chart")];
  const all = () => charts.forEach(chart => draw(chart, figures));
  for (const button of document.querySelectorAll(".views button"))
    button.addEventListener("click", () => {
      const chart = button.closest(".chart");
      chart.dataset.view = button.textContent;
      for (const other of chart.querySelectorAll(".views button"))
        other.setAttribute("aria-pressed", String(other === button));
      draw(chart, figures);
    });
  screen_.addEventListener("change", all);
  all();
});
""".strip()
