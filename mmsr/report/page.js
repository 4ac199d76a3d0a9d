"use strict";
(async () => {
  const charts = [...document.querySelectorAll(".chart")];
  const tell = (text) => charts.forEach((chart) => { chart.textContent = text; });
  if (!charts.length) return;
  if (typeof DecompressionStream === "undefined") {
    tell("This browser is too old for the charts; the tables have their figures.");
    return;
  }
  const packed = atob(document.getElementById("plotly").textContent.trim());
  const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const value = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = (given) => ({
    gridcolor: value("--line"), zerolinecolor: value("--line"), linecolor: value("--line"), ...given,
  });
  const themed = (layout) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: value("--text"), family: getComputedStyle(document.body).fontFamily, size: 12 },
    hoverlabel: { bgcolor: value("--soft"), font: { color: value("--text") }, bordercolor: value("--line") },
    margin: { l: 56, r: 20, t: 20, b: 44 },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", ...layout.legend },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: value("--dim"), activecolor: value("--text") },
    ...Object.fromEntries(Object.entries(layout).filter(([name]) => name !== "legend")),
    xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    annotations: (layout.annotations || []).map((one) => ({ bgcolor: value("--back"), ...one })),
  });
  const draw = () => charts.forEach((chart) => {
    const { traces, layout } = JSON.parse(document.getElementById(chart.dataset.of).textContent);
    const height = Number(chart.dataset.height);
    Plotly.react(chart, traces, { ...themed(layout), height, autosize: true },
      { responsive: true, displaylogo: false, displayModeBar: "hover",
        modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] });
  });
  charts.forEach((chart) => { chart.textContent = ""; });
  draw();
  dark.addEventListener("change", draw);
  document.documentElement.dataset.charts = String(charts.length);
})();
