// Draws the chart and adds keys; everything else on the page works without a script.
(() => {
  "use strict";

  const write = {
    number(v) {
      if (v < 999.95) return String(Math.round(v * 10) / 10);
      const [d, unit] = v < 999950 ? [1e3, "k"] : v < 999.95e6 ? [1e6, "M"] : [1e9, "G"];
      const n = v / d;
      return (n >= 99.95 ? n.toFixed(0) : n.toFixed(1).replace(".0", "")) + unit;
    },
    exact: (v) => v.toLocaleString("en-US"),
    decimal: (v) => String(Math.round(v * 100) / 100),
    percent: (v) => `${Math.round(v * 1000) / 10}\u00a0%`,
    duration(v) {
      const s = Math.round(v), two = (n) => String(n).padStart(2, "0");
      if (s < 60) return `${s}s`;
      if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
      return `${Math.floor(s / 3600)}h ${two(Math.floor((s % 3600) / 60))}m`;
    },
  };
  const kinds = { views_per_visit: "decimal", bounce_rate: "percent", visit_duration: "duration" };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const make = (tag, name, text) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // A line is solid where all of its points are whole, and dashed where it leads to one that is not.
  function parts(values, partial) {
    const whole = values.map((v, i) => (partial[i] ? null : v));
    const rest = values.map((v, i) =>
      partial[i] || partial[i - 1] || partial[i + 1] ? v : null);
    return [whole, rest];
  }

  function series(chart) {
    const data = [chart.labels.map((_, i) => i)], list = [{}];
    const add = (values, options) => { data.push(values); list.push(options); };
    // The first line is drawn last, on top of the other one where both are equal.
    [...chart.lines.entries()].reverse().forEach(([n, line]) => {
      const stroke = colour(n ? "--line-2" : "--line-1");
      const points = { size: 5, fill: stroke, stroke, filter: alone };
      if (line.before) {
        add(line.before, { stroke: stroke + "70", width: 1.5, dash: [2, 4], points: { show: false } });
      }
      const [whole, rest] = parts(line.now, chart.partial);
      const fill = n ? undefined : fade(stroke);
      add(whole, { stroke, width: 2, points, fill });
      add(rest, { stroke, width: 2, dash: [5, 5], points, fill });
    });
    return [data, list];
  }

  // A point without neighbours is no line; it has to be seen all the same.
  function alone(u, n) {
    const values = u.data[n];
    return values.flatMap((v, i) =>
      v != null && values[i - 1] == null && values[i + 1] == null ? [i] : []);
  }

  const fade = (stroke) => (u) => {
    const height = u.bbox.height || 1;
    const gradient = u.ctx.createLinearGradient(0, u.bbox.top, 0, u.bbox.top + height);
    gradient.addColorStop(0, stroke + "38");
    gradient.addColorStop(1, stroke + "04");
    return gradient;
  };

  function tip(chart, kind) {
    const box = make("div", "tip");
    box.hidden = true;
    const say = (v) => (v == null ? "\u2013" : (kind === "number" ? write.exact : write[kind])(v));
    const fill = (i) => {
      const begun = chart.lines[0].now[i] != null;
      box.replaceChildren(make("b", "", chart.titles[i] + (chart.partial[i] && begun ? ", so far" : "")));
      if (chart.lines[0].before) box.append(make("small", "", `and ${chart.before[i]}`));
      for (const line of chart.lines) {
        const row = make("p");
        row.append(make("i"), make("span", "", line.name), make("strong", "", say(line.now[i])));
        if (line.before) row.append(make("span", "", say(line.before[i])));
        box.append(row);
      }
    };
    const move = (u) => {
      const i = u.cursor.idx;
      box.hidden = i == null || u.cursor.left < 0;
      if (box.hidden) return;
      fill(i);
      const x = u.valToPos(i, "x"), room = u.over.clientWidth;
      const left = x + 14 + box.offsetWidth > room ? x - 14 - box.offsetWidth : x + 14;
      box.style.transform = `translate(${Math.max(0, left)}px, 8px)`;
    };
    return { hooks: { init: (u) => u.over.append(box), setCursor: move } };
  }

  let plot = null, drawn = "";

  function draw() {
    const place = document.getElementById("plot");
    if (!place) { plot?.destroy(); plot = null; drawn = ""; return; }
    const width = place.clientWidth, height = place.clientHeight;
    const wanted = `${place.dataset.chart}|${width}|${matchMedia("(prefers-color-scheme: dark)").matches}`;
    if (plot && wanted === drawn && place.contains(plot.root)) return;
    const chart = JSON.parse(place.dataset.chart);
    const kind = kinds[chart.lines[0].key] || "number";
    const [data, list] = series(chart);
    const axis = { stroke: colour("--faint"), font: "12px system-ui, sans-serif", ticks: { show: false } };
    const count = chart.labels.length;
    const labelled = spread(count, Math.max(2, Math.floor(width / 86)));
    // Whole numbers of people: no gridline between one and two.
    const steps = kind === "number" ? [1, 2, 5].flatMap((n) => [...Array(10)].map((_, e) => n * 10 ** e)).sort((a, b) => a - b)
      : kind === "duration" ? [1, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000]
      : kind === "percent" ? [.01, .02, .05, .1, .2, .25, .5] : [.1, .2, .5, 1, 2, 5, 10, 20, 50];
    plot?.destroy();
    place.classList.toggle("zooms", chart.urls.length > 1);
    plot = new uPlot({
      width, height, series: list, legend: { show: false }, padding: [6, labelled.at(-1) === count - 1 ? 26 : 12, 0, 0],
      plugins: [tip(chart, kind)],
      cursor: {
        y: false,
        drag: { setScale: false, x: false, y: false },
        move: (u, left, top) => [left < 0 ? left : u.valToPos(u.posToIdx(left), "x"), top],
        points: { size: (u, n) => (list[n].dash?.[0] === 2 ? 0 : 8), width: 2,
          stroke: () => colour("--card"), fill: (u, n) => list[n].stroke },
      },
      scales: {
        x: { time: false, range: [count > 1 ? 0 : -1, count > 1 ? count - 1 : 1] },
        y: { range: (u, low, high) => [0, Math.max(high * 1.06, kind === "percent" ? .1 : 4)] },
      },
      axes: [
        { ...axis, grid: { show: false }, size: 30, gap: 8,
          splits: () => labelled,
          values: (u, at) => at.map((i) => chart.labels[i] ?? "") },
        { ...axis, grid: { stroke: colour("--rule"), width: 1 }, size: 48, gap: 6, incrs: steps,
          space: 46, values: (u, at) => at.map((v) => (v || kind === "number" ? write[kind](v) : "0")) },
      ],
    }, data, place);
    plot.over.addEventListener("click", () => {
      const url = chart.urls[plot.cursor.idx];
      if (url && chart.urls.length > 1) location.assign(url);
    });
    drawn = wanted;
  }

  // At most `most` labels, evenly spaced.
  function spread(count, most) {
    const step = Math.ceil(count / most);
    return Array.from({ length: Math.ceil(count / step) }, (_, i) => i * step);
  }

  // Keys press the links that name them.
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select")) return;
    const open = document.querySelector("details.menu[open]");
    if (event.key === "Escape" && open) {
      open.open = false;
      open.querySelector("summary").focus();
      return;
    }
    const link = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
    if (link) { event.preventDefault(); link.click(); }
  });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // News are not fetched for a page that nobody sees, nor under the hands of a reader.
  document.addEventListener("htmx:before:request", (event) => {
    const source = event.detail.ctx.sourceElement;
    if (event.detail.ctx.sourceEvent?.type !== "every") return;
    const busy = source.id === "report" && document.querySelector("#report details[open]");
    if (document.hidden || busy) event.preventDefault();
  });

  // Offer the reader's own time zone.
  function offerZone() {
    const field = document.querySelector(".dates input[name=tz]");
    const here = Intl.DateTimeFormat().resolvedOptions().timeZone;
    if (!field || !here || here === field.value || document.querySelector(".dates .here")) return;
    const button = make("button", "here", `Use ${here}`);
    button.type = "button";
    button.addEventListener("click", () => {
      const url = new URL(location.href);
      url.searchParams.set("tz", here);
      location.assign(url);
    });
    field.parentElement.after(button);
  }

  const refresh = () => { draw(); offerZone(); };
  document.addEventListener("htmx:after:swap", refresh);
  document.addEventListener("htmx:after:settle", refresh);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let resizing = 0;
  addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(draw, 120); });
  refresh();
})();
