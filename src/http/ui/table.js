// Tables with search, sorting and pages: thousands of rows stay usable, because few are in the document.

import { h, say } from "./dom.js";

const PAGE = 25;

/** Text as text, numbers as numbers, what is missing last. */
function compare(a, b) {
  const none = (value) => value === null || value === undefined || value === "";
  if (none(a) || none(b)) return none(a) - none(b);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

export class Table {
  /**
   * `columns`: `{label, value: row => sorted by, cell: row => shown, number, hint}`.
   * `options`: `{caption, empty, search, open: row => …, sort: [column, descending], key: row => identity}`.
   */
  constructor(columns, options) {
    this.columns = columns;
    this.options = options;
    this.rows = [];
    this.page = 0;
    [this.by, this.down] = options.sort ?? [null, false];
    this.heads = columns.map((column, at) => {
      const button = h("button", { type: "button", onclick: () => this.sort(at), title: column.hint }, column.label);
      return h("th", { scope: "col", class: column.number ? "number" : null }, button);
    });
    this.body = h("tbody");
    this.note = h("p", { class: "empty", role: "status" });
    this.scroll = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": options.caption },
      h("table", {}, h("caption", { class: "hidden" }, options.caption), h("thead", {}, h("tr", {}, this.heads)), this.body));
    this.before = h("button", { type: "button", onclick: () => this.turn(-1) }, "Previous");
    this.after = h("button", { type: "button", onclick: () => this.turn(1) }, "Next");
    this.where = h("span", { class: "quiet" });
    this.pages = h("div", { class: "pages" }, this.before, this.where, this.after);
    this.search = options.search === false ? null : h("input", {
      type: "search", placeholder: "Search", "aria-label": `Search ${options.caption}`, oninput: () => { this.page = 0; this.draw(); },
    });
    this.element = h("div", { class: "table" }, this.search && h("div", { class: "tools" }, this.search), this.scroll, this.note, this.pages);
    this.mark();
  }

  sort(at) {
    this.down = this.by === at ? !this.down : Boolean(this.columns[at].number);
    this.by = at;
    this.page = 0;
    this.mark();
    this.draw();
  }

  turn(pages) {
    this.page += pages;
    this.draw();
    this.scroll.scrollIntoView({ block: "nearest" });
  }

  mark() {
    this.heads.forEach((head, at) => {
      if (at === this.by) head.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  update(rows) {
    this.rows = rows;
    this.draw();
  }

  matching() {
    const words = (this.search?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) return [...this.rows];
    return this.rows.filter((row) => {
      const text = this.options.text ? this.options.text(row) : this.columns.map((column) => column.value(row) ?? "").join(" ");
      const lower = text.toLowerCase();
      return words.every((word) => lower.includes(word));
    });
  }

  draw() {
    const found = this.matching();
    if (this.by !== null) {
      const value = this.columns[this.by].value;
      const none = (row) => { const v = value(row); return v === null || v === undefined || v === ""; };
      // What is missing is last, whichever way.
      found.sort((a, b) => (none(a) || none(b) ? none(a) - none(b) : (this.down ? -1 : 1) * compare(value(a), value(b))));
    }
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    this.page = Math.min(Math.max(0, this.page), pages - 1);
    const shown = found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
    this.fill(shown.map((row) => this.row(row)));
    if (focused !== undefined) this.body.querySelector(`button[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.scroll.hidden = shown.length === 0;
    if (this.search) this.search.parentElement.hidden = this.rows.length < 6 && this.search.value === "";
    say(this.note, shown.length > 0 ? "" : this.rows.length > 0 ? "Nothing matches." : this.options.empty);
    this.note.hidden = shown.length > 0;
    this.pages.hidden = pages === 1;
    this.before.disabled = this.page === 0;
    this.after.disabled = this.page === pages - 1;
    const from = this.page * PAGE;
    say(this.where, `${from + 1}–${from + shown.length} of ${found.length}`);
  }

  /** Shows these rows. What has not changed stays the same element: a pointer keeps its target, a selection its text. */
  fill(rows) {
    const before = [...this.body.rows];
    rows.forEach((row, at) => {
      const old = before[at];
      if (old === undefined) {
        this.body.append(row);
        return;
      }
      old.data = row.data;
      [...row.cells].forEach((cell, n) => {
        if (!old.cells[n].isEqualNode(cell)) old.cells[n].replaceWith(cell);
      });
    });
    for (const old of before.slice(rows.length)) old.remove();
  }

  row(row) {
    const cells = this.columns.map((column, at) => {
      const shown = column.cell ? column.cell(row) : column.value(row);
      let content = shown === null || shown === undefined || shown === "" ? h("span", { class: "quiet" }, "–") : shown;
      if (at === 0 && this.options.open) {
        content = h("button", { type: "button", class: "open", "data-key": this.options.key(row), onclick: (event) => this.options.open(event.currentTarget.closest("tr").data) }, content);
      }
      return at === 0
        ? h("th", { scope: "row" }, content)
        : h("td", { class: column.number ? "number" : null }, content);
    });
    const element = h("tr", {}, cells);
    element.data = row;
    return element;
  }
}
