// Follows a run: appends what it prints, and draws the curves that it logs. The page works without: it then shows what there was when it
// was loaded. Losing the connection loses nothing; the next answer goes on where the last one ended.

const EVERY = 1000, LATEST = 15_000;
const section = document.getElementById("curves");
const asked = (url, query) => fetch(`${url}?${new URLSearchParams(query)}`, { headers: { Accept: "application/json" } }).then((answer) => {
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
});

// The log

class Log {
  constructor(box) {
    this.box = box;
    this.text = box.querySelector("pre");
    this.state = box.querySelector("[data-state]");
    this.place = { token: 0, after: 0, seen: "" };
  }

  async follow(wait = EVERY) {
    let next = wait;
    try {
      const found = await asked(this.box.dataset.stream, this.place);
      this.state.textContent = "";
      this.show(found);
      if (found.curves?.length) await curves?.show(found);
      if (!found.open && !found.more) return;
      next = found.more ? 0 : EVERY;
    } catch {
      this.state.textContent = "· no answer; the run goes on, and this list will";
      next = Math.min(2 * Math.max(wait, EVERY), LATEST);
    }
    if (this.box.isConnected) setTimeout(() => this.follow(next), next);
  }

  show(found) {
    if (found.restarts) this.text.textContent = "";
    const follows = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 24;
    this.text.append(found.log);
    this.box.hidden = !this.text.textContent;
    if (follows) this.text.scrollTop = this.text.scrollHeight;
    this.place = { token: found.token, after: found.after, seen: found.seen };
  }
}

const followed = new WeakSet();

function start() {
  const box = document.querySelector("#live [data-stream]");
  if (!box || followed.has(box)) return;
  followed.add(box);
  new Log(box).follow();
}

// The curves

function load({ library, style }) {
  return new Promise((resolve, reject) => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = style;
    const script = document.createElement("script");
    script.src = library;
    script.onload = () => resolve(window.uPlot);
    script.onerror = () => reject(new Error("uPlot did not load"));
    document.head.append(sheet, script);
  });
}

const colour = (name) => getComputedStyle(section).getPropertyValue(name).trim() && resolved(`var(${name})`);

function resolved(value) { // canvas knows no light-dark()
  const probe = document.createElement("span");
  probe.style.color = value;
  section.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

class Curves {
  constructor() {
    this.plots = new Map();
    this.found = [];
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
    new ResizeObserver(() => this.fit()).observe(section);
  }

  async open() {
    const { stream, beside } = section.dataset;
    this.beside = beside ? (await asked(beside, {})).curves : [];
    if (stream && !section.hidden) await this.show(await asked(stream, {}));
  }

  async show({ run, curves, left_out: leftOut }) {
    this.library ??= load(section.dataset);
    this.uPlot = await this.library;
    const number = section.querySelector("[data-run]");
    if (number && number.textContent !== String(run)) {
      number.textContent = run;
      section.querySelector("[data-figures]").replaceChildren();
      this.plots.clear();
    }
    section.hidden = false;
    section.querySelector("[data-left-out]").textContent = leftOut;
    this.found = curves;
    for (const curve of curves) this.draw(curve);
  }

  figure(name) {
    const all = section.querySelector("[data-figures]");
    const there = [...all.children].find((figure) => figure.dataset.name === name);
    if (there) return there;
    const made = section.querySelector("template").content.querySelector("figure").cloneNode(true);
    made.dataset.name = name;
    made.querySelector("h3").textContent = name;
    all.append(made);
    return made;
  }

  draw(curve) {
    const figure = this.figure(curve.name);
    figure.querySelector("[data-sentence]").textContent = curve.sentence;
    figure.querySelector("[data-rows]").replaceChildren(...curve.rows.map((row) => {
      const line = document.createElement("tr");
      for (const text of row) {
        const cell = line.insertCell();
        cell.className = "num";
        cell.textContent = text;
      }
      return line;
    }));
    const data = this.data(curve);
    const before = this.plots.get(curve.name);
    if (before) return before.setData(data);
    const place = figure.querySelector("[data-plot]");
    place.replaceChildren();
    this.plots.set(curve.name, new this.uPlot(this.options(curve.name, place), data, place));
  }

  data({ name, steps, means, lows = means, highs = means }) {
    const other = this.beside?.find((one) => one.name === name);
    const own = [steps, lows, highs, means];
    return other ? this.uPlot.join([own, [other.steps, other.means]]) : [...own, steps.map(() => null)];
  }

  options(name, place) {
    const [line, soft, muted, grid, second] = ["--accent", "--accent-soft", "--muted", "--line", "--warn"].map(colour);
    const axis = { stroke: muted, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 }, font: "12px sans-serif" };
    const number = (_plot, value) => (value == null ? "–" : Number(value.toPrecision(5)).toString());
    const hidden = { stroke: "transparent", width: 0, points: { show: false }, spanGaps: true, label: "" };
    return {
      width: place.clientWidth,
      height: 220,
      scales: { x: { time: false } },
      axes: [{ ...axis }, { ...axis, size: 64, values: (_plot, values) => values.map((value) => Number(value.toPrecision(6)).toString()) }],
      series: [
        { label: "step" },
        { ...hidden },
        { ...hidden },
        { label: name, stroke: line, width: 2, spanGaps: true, value: number },
        { label: "beside", stroke: second, width: 2, dash: [6, 4], spanGaps: true, value: number },
      ],
      bands: [{ series: [2, 1], fill: soft }],
      legend: { show: false },
      cursor: { drag: { x: true, y: false } },
    };
  }

  fit() {
    for (const plot of this.plots.values()) {
      const width = plot.root.parentElement.clientWidth;
      if (width && width !== plot.width) plot.setSize({ width, height: 220 });
    }
  }

  redraw() {
    for (const plot of this.plots.values()) plot.destroy();
    this.plots.clear();
    for (const curve of this.found) this.draw(curve);
  }
}

const curves = section && new Curves();
curves?.open().catch(() => undefined); // the picture that came with the page stays
start();
document.addEventListener("htmx:load", start);
