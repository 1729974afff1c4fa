// Curves over time, drawn as SVG.

import { h, say, svg } from "./dom.js";
import { clock, written } from "./units.js";

const HEIGHT = 180;
const LEFT = 62;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 22;
const LINES = 4;

/** A round number not below `value`, of the steps that suit the unit. */
function round(value, unit) {
  if (unit === "ratio") return 1;
  if (!(value > 0)) return 1;
  const base = unit === "bytes" ? 1024 ** Math.floor(Math.log(value) / Math.log(1024)) : 10 ** Math.floor(Math.log10(value));
  const steps = unit === "bytes" ? [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] : [1, 2, 4, 5, 8, 10];
  return base * steps.find((step) => step * base >= value);
}

export class Chart {
  /** `series`: `{name, label, hue (0 to 5), dashed}`. */
  constructor(title, unit, series) {
    this.unit = unit;
    this.series = series;
    this.write = written[unit];
    this.samples = {};
    this.length = 0;
    this.width = 560;
    this.most = 1;
    this.step = 60;
    this.points = 60;
    this.end = Date.now();
    this.grid = svg("g", { class: "grid" });
    this.lines = series.map((each) => svg("path", { class: `line hue${each.hue}${each.dashed ? " dashed" : ""}` }));
    this.cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    this.drawing = svg("svg", { height: HEIGHT, role: "img", "aria-label": title },
      this.grid, this.lines, this.cursor);
    this.values = series.map(() => h("span", { class: "value" }));
    this.when = h("span", { class: "when quiet" });
    const legend = series.map((each, at) => h("li", {}, svg("svg", { class: "key", viewBox: "0 0 18 8", "aria-hidden": "true" },
      svg("path", { class: `line hue${each.hue}${each.dashed ? " dashed" : ""}`, d: "M0 4H18" })), ` ${each.label} `, this.values[at]));
    this.empty = h("p", { class: "empty" }, "Collecting: the first point is there after a minute.");
    this.element = h("figure", { class: "card chart" }, h("figcaption", {}, h("h3", {}, title), this.when),
      h("div", { class: "plot" }, this.drawing, this.empty), h("ul", { class: "legend" }, legend));
    this.title = title;
    // A unit of the drawing is a pixel, so that its text has the size of all other text.
    new ResizeObserver(([entry]) => {
      this.width = Math.max(240, Math.round(entry.contentRect.width));
      this.drawing.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
      this.draw();
    }).observe(this.drawing);
    this.drawing.addEventListener("pointermove", (event) => this.point(event));
    this.drawing.addEventListener("pointerleave", () => this.point(null));
  }

  /** Shows samples (`{name: [numbers or null]}`), the last of them at `end` (milliseconds). */
  update(samples, step, end, points) {
    this.samples = samples;
    this.step = step;
    this.end = end;
    this.points = points;
    const all = this.series.flatMap((each) => samples[each.name] ?? []).filter((value) => value !== null);
    this.length = Math.max(0, ...this.series.map((each) => (samples[each.name] ?? []).length));
    this.empty.hidden = all.length > 0;
    say(this.empty, this.length > 0 ? "Nothing in this time." : step === 60 ? "Collecting: the first point of the hour is there after a minute." : "Collecting.");
    this.most = round(Math.max(0, ...all), this.unit);
    this.draw();
  }

  x(at) {
    const width = this.width - LEFT - RIGHT;
    return LEFT + width * (1 - (this.length - 1 - at) / (this.points - 1));
  }

  y(value) {
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / this.most);
  }

  draw() {
    const marks = [];
    for (let line = 0; line <= LINES; line += 1) {
      const value = (this.most * line) / LINES;
      const y = this.y(value);
      marks.push(svg("line", { x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }));
      if (line % 2 === 0) marks.push(svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, this.write(value)));
    }
    const whole = this.step * (this.points - 1) * 1000;
    for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const x = LEFT + (this.width - LEFT - RIGHT) * share;
      marks.push(svg("text", { x, y: HEIGHT - 6, "text-anchor": anchor }, clock(this.end - whole * (1 - share), this.step < 60)));
    }
    this.grid.replaceChildren(...marks);
    this.series.forEach((each, at) => {
      let path = "";
      let pen = false;
      let alone = null;
      (this.samples[each.name] ?? []).forEach((value, index) => {
        if (value === null) {
          if (alone !== null) path += "h.1";
          pen = false;
          alone = null;
          return;
        }
        path += `${pen ? "L" : "M"}${this.x(index).toFixed(1)} ${this.y(value).toFixed(1)}`;
        alone = pen ? null : index;
        pen = true;
      });
      if (alone !== null) path += "h.1";
      this.lines[at].setAttribute("d", path);
    });
    this.show(this.length - 1);
    const latest = this.series.map((each, at) => `${each.label} ${this.values[at].textContent}`).join(", ");
    this.drawing.setAttribute("aria-label", `${this.title}: ${latest}`);
  }

  /** Writes the values of one sample into the legend. */
  show(at) {
    this.series.forEach((each, index) => say(this.values[index], this.write((this.samples[each.name] ?? [])[at])));
  }

  point(event) {
    if (event === null || this.length === 0) {
      this.cursor.setAttribute("visibility", "hidden");
      say(this.when, "");
      this.show(this.length - 1);
      return;
    }
    const box = this.drawing.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * this.width;
    const share = (x - LEFT) / (this.width - LEFT - RIGHT);
    const at = Math.round(this.length - 1 - (1 - share) * (this.points - 1));
    if (at < 0 || at >= this.length) return;
    this.cursor.setAttribute("visibility", "visible");
    this.cursor.setAttribute("x1", this.x(at));
    this.cursor.setAttribute("x2", this.x(at));
    say(this.when, clock(this.end - (this.length - 1 - at) * this.step * 1000));
    this.show(at);
  }
}
