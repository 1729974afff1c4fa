// The parts of the page: what each shows, and where it comes from.

import { badge, h, name, say } from "./dom.js";
import { Chart } from "./chart.js";
import { Table } from "./table.js";
import { bytes, clock, count, micros, millis, rate, ratio, span } from "./units.js";

const STATES = {
  live: "good", up: "good", passing: "good", pending: "plain", unknown: "plain", gone: "plain", loading: "warn", draining: "warn",
  warning: "warn", stale: "warn", down: "bad", critical: "bad", authfail: "bad",
};
const state = (text) => badge(text, STATES[text] ?? "plain");
const HUES = { hit: 0, forward: 1, fetch: 2, pinned: 3, cache: 4, bus: 5, shard: 0, discovery: 1, gateway: 2, respite: 3 };

/** A part: a heading, what is in it, where its data comes from and how often. */
function part(id, title, content, { source, every, show, note } = {}) {
  const problem = h("p", { class: "problem", role: "status", hidden: true });
  const inner = h("div", { class: "content" }, content);
  const element = h("section", { id, "aria-labelledby": `${id}-title` },
    h("div", { class: "heading" }, h("h2", { id: `${id}-title` }, title), note && h("p", { class: "quiet" }, note)), problem, inner);
  return { id, title, element, content: inner, source, every, show, problem };
}

// === at a glance ===

/** The key figures: name, label, how to read the value, what stands below it. */
const TILES = [
  ["requests_per_sec", "Requests", (o) => rate(o.figures.requests_per_sec), (o) => `${rate(o.figures.forwarded_per_sec)} forwarded`],
  ["hit_ratio", "Hit ratio", (o) => ratio(o.figures.hit_ratio), (o) => `${rate(o.figures.hits_per_sec)} hits, ${rate(o.figures.misses_per_sec)} misses`],
  ["hit_p99_us", "Hits, p99", (o) => micros(o.figures.hit_p99_us), (o) => `p50 ${micros(o.figures.hit_p50_us)}`],
  ["forward_p99_us", "Forwarded, p99", (o) => micros(o.figures.forward_p99_us), (o) => `p50 ${micros(o.figures.forward_p50_us)}`],
  ["clients", "Clients", (o) => count(o.clients.connected), (o) => `of ${count(o.limits.clients)}, ${count(o.clients.rejected)} turned away`],
  ["cache_bytes", "Cache", (o) => bytes(o.cache?.bytes), (o) => o.cache && `of ${bytes(o.cache.max_bytes)}, ${count(o.cache.entries)} keys, ${o.cache.degraded ? "expiry (no tracking)" : o.cache.mode}`],
  ["shards_live", "Shards live", (o) => (o.shards ? `${count(o.shards.live ?? 0)} of ${count(shardsOf(o))}` : "–"), (o) => o.shards && othersOf(o)],
  ["pinned", "Own connections", (o) => count(o.figures.pinned), (o) => `of ${count(o.limits.pinned)}`],
];

const shardsOf = (o) => Object.entries(o.shards).reduce((sum, [name, n]) => (name === "gone" ? sum : sum + n), 0);

function othersOf(o) {
  const others = Object.entries(o.shards).filter(([name]) => name !== "live" && name !== "gone");
  return others.length === 0 ? "all of them" : others.map(([name, n]) => `${n} ${name}`).join(", ");
}

const SEVERITY = { critical: ["bad", "Critical"], warning: ["warn", "Warning"], notice: ["plain", "Notice"] };

export function glance() {
  const tiles = TILES.map(([figure, label]) => {
    const value = h("dd", { class: "figure", "data-figure": figure }, "–");
    const below = h("dd", { class: "quiet below" });
    return { value, below, element: h("div", { class: "tile card" }, h("dt", {}, label), value, below) };
  });
  const findings = h("ul", { class: "findings", "aria-label": "Findings" });
  let shown = "";
  const each = part("glance", "At a glance", [findings, h("dl", { class: "tiles" }, tiles.map((tile) => tile.element))]);
  each.live = (overview) => {
    TILES.forEach(([, , value, below], at) => {
      say(tiles[at].value, value(overview));
      // What this login may not see is null.
      say(tiles[at].below, below(overview) ?? "not shown to this login");
    });
    const now = JSON.stringify(overview.findings);
    if (now === shown) return;
    shown = now;
    const items = (overview.findings ?? []).map((finding) => {
      const [kind, word] = SEVERITY[finding.severity];
      return h("li", { class: `finding ${kind}` }, badge(word, kind), h("span", {}, finding.text));
    });
    if (overview.findings === null) items.push(h("li", { class: "finding plain" }, h("span", {}, "Findings are shown to administrators.")));
    else if (items.length === 0) items.push(h("li", { class: "finding good" }, badge("Well", "good"), h("span", {}, "Nothing deserves attention.")));
    findings.replaceChildren(...items);
  };
  return each;
}

// === curves ===

export function curves() {
  const charts = [
    new Chart("Requests", "rate", [
      { name: "requests_per_sec", label: "all", hue: 4 }, { name: "hits_per_sec", label: "hits", hue: 0 },
      { name: "forwarded_per_sec", label: "forwarded", hue: 1 }, { name: "misses_per_sec", label: "misses", hue: 2 }]),
    new Chart("Hit ratio", "ratio", [{ name: "hit_ratio", label: "hits of reads", hue: 0 }]),
    new Chart("Time of hits", "micros", [{ name: "hit_p50_us", label: "p50", hue: 0 }, { name: "hit_p99_us", label: "p99", hue: 0, dashed: true }]),
    new Chart("Time of forwarded commands", "micros", [
      { name: "forward_p50_us", label: "p50", hue: 1 }, { name: "forward_p99_us", label: "p99", hue: 1, dashed: true },
      { name: "fetch_p50_us", label: "fetches p50", hue: 2 }, { name: "fetch_p99_us", label: "fetches p99", hue: 2, dashed: true }]),
    new Chart("Cache", "bytes", [{ name: "cache_bytes", label: "used", hue: 0 }]),
    new Chart("Clients", "count", [{ name: "clients", label: "connected", hue: 0 }, { name: "pinned", label: "own connections", hue: 3 }]),
  ];
  const more = h("div", { class: "charts" });
  const grid = h("div", { class: "charts" }, charts.map((chart) => chart.element));
  const each = part("curves", "Over time", [grid, h("details", {}, h("summary", {}, "Time of each kind of command"), more)], { source: "/api/history", every: 5 });
  let kinds = null;
  each.show = (history) => {
    if (kinds === null) {
      kinds = history.kinds.filter((kind) => kind !== "hit" && kind !== "forward" && kind !== "fetch");
      const made = kinds.map((kind) => new Chart(kind === "pinned" ? "Own connections" : `${kind.toUpperCase()}.*`, "micros", [
        { name: `${kind}_p50_us`, label: "p50", hue: HUES[kind] ?? 0 }, { name: `${kind}_p99_us`, label: "p99", hue: HUES[kind] ?? 0, dashed: true }]));
      charts.push(...made);
      more.append(...made.map((chart) => chart.element));
    }
    const points = history.step_seconds === 1 ? 300 : 60;
    charts.forEach((chart) => chart.update(history.samples, history.step_seconds, history.end_ms, points));
  };
  return each;
}

// === tables ===

function tabled(id, title, source, every, columns, options, note) {
  const table = new Table(columns, options);
  return part(id, title, h("div", { class: "card" }, table.element), { source, every, note, show: (rows) => table.update(rows) });
}

export const latency = () => tabled("latency", "Latency by kind and user", "/api/latency", 5, [
  { label: "Kind", value: (r) => r.kind },
  { label: "User", value: (r) => r.user, cell: (r) => name(r.user === "" ? "(others)" : r.user) },
  { label: "Commands", value: (r) => r.count, cell: (r) => count(r.count), number: true },
  { label: "p50", value: (r) => r.p50_us, cell: (r) => micros(r.p50_us), number: true },
  { label: "p99", value: (r) => r.p99_us, cell: (r) => micros(r.p99_us), number: true },
  { label: "Longest", value: (r) => r.max_us, cell: (r) => micros(r.max_us), number: true },
], { caption: "latency", empty: "No command yet." }, "Since the start, or the last RESPITE.LATENCY RESET.");

const command = (args) => h("code", { class: "command" }, args.map((arg, at) => [at > 0 && " ", name(arg)]));

export const slowlog = () => tabled("slow", "Slow commands", "/api/slowlog", 3, [
  { label: "Command", value: (r) => r.args.join(" "), cell: (r) => command(r.args) },
  { label: "When", value: (r) => r.time_ms, cell: (r) => clock(r.time_ms), number: true },
  { label: "Took", value: (r) => r.duration_us, cell: (r) => micros(r.duration_us), number: true },
  { label: "Queued", value: (r) => r.queued_us, cell: (r) => micros(r.queued_us), number: true, hint: "Waited in Respite, or behind other commands" },
  { label: "Backing", value: (r) => r.backing_us, cell: (r) => micros(r.backing_us), number: true, hint: "The backing worked on it" },
  { label: "Client", value: (r) => r.client_us, cell: (r) => micros(r.client_us), number: true, hint: "The client read its reply" },
  { label: "From", value: (r) => `${r.name} ${r.client}`, cell: (r) => [r.name && [name(r.name), " "], h("span", { class: "quiet" }, r.client)] },
  { label: "User", value: (r) => r.user, cell: (r) => name(r.user) },
], { caption: "slow commands", empty: "No command was slower than slowlog.slower_than.", sort: [1, true] });

export function shards(detail) {
  return tabled("shards", "Shards", "/api/shards", 2, [
    { label: "Shard", value: (r) => r.id, cell: (r) => name(r.id) },
    { label: "State", value: (r) => r.state, cell: (r) => [state(r.state), r.error && h("span", { class: "why quiet" }, name(r.error))] },
    { label: "Role", value: (r) => r.role, cell: (r) => r.role },
    { label: "Address", value: (r) => r.addr, cell: (r) => name(r.addr) },
    { label: "Age", value: (r) => r.age_ms, cell: (r) => millis(r.age_ms), number: true, hint: "Of the INFO that is shown" },
    { label: "Ops/s", value: (r) => r.ops_per_sec, cell: (r) => count(r.ops_per_sec), number: true },
    { label: "Memory", value: (r) => r.memory_bytes, cell: (r) => (r.maxmemory_bytes === null ? bytes(r.memory_bytes) : `${bytes(r.memory_bytes)} of ${bytes(r.maxmemory_bytes)}`), number: true },
    { label: "Clients", value: (r) => r.clients, cell: (r) => count(r.clients), number: true },
    { label: "Lag", value: (r) => (r.link_up === false ? Infinity : r.lag_bytes), cell: (r) => (r.link_up === false ? badge("link down", "bad") : bytes(r.lag_bytes)), number: true, hint: "Bytes that a replica is behind its master" },
    { label: "Source", value: (r) => r.source, cell: (r) => name(r.source) },
  ], {
    caption: "shards", empty: "No shard is tracked.", key: (r) => r.id, open: (row) => detail(row),
    text: (r) => [r.id, r.addr, r.state, r.role, r.source, r.version, ...Object.entries(r.labels).flat()].join(" "),
  }, "Choose one for its INFO. Nobody asks a shard for this page: it is what its last poll brought.");
}

export const hotkeys = () => tabled("hotkeys", "Hot keys", "/api/hotkeys", 3, [
  { label: "Key", value: (r) => r.key, cell: (r) => name(r.key) },
  { label: "Database", value: (r) => r.db, cell: (r) => String(r.db), number: true },
  { label: "Hits", value: (r) => r.hits, cell: (r) => count(r.hits), number: true, hint: "About so many, of late" },
], { caption: "hot keys", empty: "No key was read often from the cache." });

export const clients = () => tabled("clients", "Clients", "/api/clients", 3, [
  { label: "Address", value: (r) => r.addr, cell: (r) => name(r.addr) },
  { label: "Name", value: (r) => r.name, cell: (r) => r.name && name(r.name) },
  { label: "User", value: (r) => r.user, cell: (r) => name(r.user) },
  { label: "Library", value: (r) => r.lib, cell: (r) => r.lib && name(r.lib) },
  { label: "State", value: (r) => r.state, cell: (r) => r.state && badge(r.state, "plain") },
  { label: "DB", value: (r) => r.db, cell: (r) => String(r.db), number: true },
  { label: "RESP", value: (r) => r.resp, cell: (r) => String(r.resp), number: true },
  { label: "Connected", value: (r) => r.age_seconds, cell: (r) => span(r.age_seconds), number: true },
], { caption: "clients", empty: "Nobody is connected." });

export const log = () => tabled("log", "Log", "/api/log", 3, [
  { label: "What", value: (r) => r.text, cell: (r) => h("span", { class: "line-of-log" }, r.text) },
  { label: "Level", value: (r) => r.level, cell: (r) => badge(r.level.toLowerCase(), r.level === "ERROR" ? "bad" : "warn") },
  { label: "When", value: (r) => r.time_ms, cell: (r) => clock(r.time_ms), number: true },
], { caption: "warnings", empty: "No warning and no error since the start.", sort: [2, true] }, "The last warnings and errors.");

// === services, buses, gateway ===

const none = (text) => h("p", { class: "empty" }, text);

export function services() {
  const rows = (groups) => groups.flatMap((group) => (group.services ?? []).flatMap((service) => {
    const of = { group: group.group, service: service.service };
    return service.nodes.length === 0 ? [{ ...of }] : service.nodes.map((node) => ({ ...of, ...node }));
  }));
  const table = new Table([
    { label: "Service", value: (r) => r.service, cell: (r) => name(r.service) },
    { label: "Group", value: (r) => r.group, cell: (r) => name(r.group) },
    { label: "Node", value: (r) => r.node, cell: (r) => (r.node === undefined ? h("span", { class: "quiet" }, "no node") : name(r.node)) },
    { label: "State", value: (r) => (r.live === false ? "lapsed" : r.state), cell: (r) => r.state && (r.live === false ? badge("lapsed", "bad") : state(r.state)) },
    { label: "Address", value: (r) => r.addr, cell: (r) => r.addr && name(r.addr) },
    { label: "Lease", value: (r) => r.ttl_ms, cell: (r) => (r.node === undefined ? null : r.ttl_ms === null ? "none" : millis(r.ttl_ms)), number: true, hint: "Until it lapses" },
    { label: "Tags", value: (r) => (r.tags ?? []).join(" "), cell: (r) => (r.tags ?? []).map((tag, at) => [at > 0 && ", ", name(tag)]) },
  ], { caption: "services", empty: "No service is registered.", sort: [0, false] });
  const each = part("services", "Services", h("div", { class: "card" }, table.element), { source: "/api/services", every: 3 });
  each.show = (groups) => {
    const failed = Array.isArray(groups) ? groups.find((group) => group.error) : groups;
    if (failed) throw new Error(failed.error);
    table.update(rows(groups));
  };
  return each;
}

export function buses() {
  const methods = new Table([
    { label: "Method", value: (r) => r.method, cell: (r) => name(r.method) },
    { label: "Bus", value: (r) => r.bus, cell: (r) => name(r.bus) },
    { label: "Workers", value: (r) => r.workers, cell: (r) => (r.workers === 0 ? badge("none", "warn") : count(r.workers)), number: true },
    { label: "Pending", value: (r) => r.pending, cell: (r) => count(r.pending), number: true },
    { label: "In flight", value: (r) => r.in_flight, cell: (r) => count(r.in_flight), number: true },
    { label: "Calls", value: (r) => r.calls, cell: (r) => count(r.calls), number: true },
    { label: "Errors", value: (r) => r.errors, cell: (r) => count(r.errors), number: true },
    { label: "Queued p99", value: (r) => r.queue_p99_ms, cell: (r) => millis(r.queue_p99_ms), number: true },
    { label: "Worked p99", value: (r) => r.work_p99_ms, cell: (r) => millis(r.work_p99_ms), number: true },
    { label: "Last error", value: (r) => r.last_error, cell: (r) => r.last_error && name(r.last_error) },
  ], { caption: "methods", empty: "No bus is in use on this Respite.", sort: [0, false] });
  const workers = new Table([
    { label: "Worker", value: (r) => r.worker, cell: (r) => name(r.worker) },
    { label: "Bus", value: (r) => r.bus, cell: (r) => name(r.bus) },
    { label: "Serves", value: (r) => r.patterns.join(" "), cell: (r) => name(r.patterns.join(" ")) },
    { label: "In flight", value: (r) => r.in_flight, cell: (r) => count(r.in_flight), number: true },
    { label: "Last heard of", value: (r) => r.last_seen_ms, cell: (r) => `${millis(Math.max(0, r.last_seen_ms))} ago`, number: true },
  ], { caption: "workers", empty: "No worker is alive." });
  const dead = new Table([
    { label: "Call", value: (r) => r.id, cell: (r) => name(r.id) },
    { label: "Method", value: (r) => r.method, cell: (r) => name(r.method) },
    { label: "Bus", value: (r) => r.bus, cell: (r) => name(r.bus) },
    { label: "Attempts", value: (r) => r.attempts, cell: (r) => count(r.attempts), number: true },
    { label: "Failed with", value: (r) => `${r.code} ${r.message}`, cell: (r) => name(`${r.code} ${r.message}`) },
  ], { caption: "dead calls", empty: "No call is dead." });
  const boxes = [["Methods", methods], ["Workers", workers], ["Dead calls", dead]].map(([title, table]) => h("div", { class: "card" }, h("h3", {}, title), table.element));
  const each = part("buses", "Buses", boxes, { source: "/api/buses", every: 3 });
  each.show = (all) => {
    const failed = all.find((bus) => bus.error && !bus.error.startsWith("NOBUS"));
    if (failed) throw new Error(failed.error);
    const of = (field) => all.flatMap((bus) => (bus[field] ?? []).map((row) => ({ bus: bus.bus, ...row })));
    methods.update(of("methods"));
    workers.update(of("workers"));
    dead.update(of("dead"));
    boxes[1].hidden = boxes[2].hidden = all.every((bus) => (bus.methods ?? []).length === 0);
  };
  return each;
}

/** The polls of an instance, the newest at the right: a bar each, high for a failure as well as coloured. */
function polls(instance) {
  const last = instance.polls.slice(-40);
  const failed = last.filter((poll) => !poll.ok).length;
  const label = last.length === 0 ? "not polled yet" : `${last.length - failed} of the last ${last.length} polls were good`;
  return h("span", { class: "polls", role: "img", "aria-label": label, title: label },
    last.map((poll) => h("i", { class: poll.ok ? "ok" : "failed", title: `${clock(poll.start)} ${poll.error ?? poll.status ?? "ok"}` })));
}

export function gateway() {
  const table = new Table([
    { label: "Instance", value: (r) => r.url, cell: (r) => name(r.url) },
    { label: "Service", value: (r) => r.service, cell: (r) => name(r.service) },
    { label: "State", value: (r) => (r.ejected_ms > 0 ? "ejected" : r.state), cell: (r) => (r.ejected_ms > 0 ? badge("ejected", "bad") : state(r.state)) },
    { label: "Polls", value: (r) => r.polls_failed, cell: (r) => polls(r) },
    { label: "Priority", value: (r) => r.priority },
    { label: "In flight", value: (r) => r.in_flight, cell: (r) => count(r.in_flight), number: true },
    { label: "First byte", value: (r) => r.ewma_ms, cell: (r) => (r.successes + r.failures === 0 ? null : millis(r.ewma_ms)), number: true, hint: "Moving average" },
    { label: "Answered", value: (r) => r.successes, cell: (r) => count(r.successes), number: true },
    { label: "Failed", value: (r) => r.failures, cell: (r) => count(r.failures), number: true },
  ], { caption: "instances", empty: "No services file is configured.", sort: [1, false] });
  return part("gateway", "Gateway", h("div", { class: "card" }, table.element), {
    source: "/api/gateway", every: 3,
    show: (all) => table.update(all.flatMap((service) => service.instances.map((instance) => ({ service: service.service, ...instance })))),
  });
}

// === one shard ===

export function info(dialog, row, body) {
  const sections = Object.entries(body.info ?? {});
  const filter = h("input", { type: "search", placeholder: "Search fields", "aria-label": "Search fields" });
  const tables = sections.map(([title, fields]) => {
    const rows = Object.entries(fields).map(([field, value]) => h("tr", { "data-text": `${title} ${field} ${value}`.toLowerCase() },
      h("th", { scope: "row" }, name(field)), h("td", {}, name(Array.isArray(value) ? value.join("\n") : value))));
    return { rows, element: h("section", {}, h("h3", {}, name(title)), h("table", { class: "fields" }, h("tbody", {}, rows))) };
  });
  filter.addEventListener("input", () => {
    for (const table of tables) {
      let any = false;
      for (const row of table.rows) {
        row.hidden = !row.dataset.text.includes(filter.value.toLowerCase());
        any ||= !row.hidden;
      }
      table.element.hidden = !any;
    }
  });
  const labels = Object.entries(row.labels).map(([key, value]) => `${key}=${value}`).join(", ");
  dialog.replaceChildren(
    h("div", { class: "heading" }, h("h2", { id: "detail-title" }, name(row.id)), h("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    h("p", { class: "quiet" }, state(row.state), " ", row.addr, " · ", body.age_ms === undefined ? "" : `INFO ${millis(body.age_ms)} old`, labels && " · ", labels && name(labels)),
    body.error && h("p", { class: "problem" }, name(body.error)), sections.length > 0 && filter, none(sections.length === 0 ? "It has not answered yet." : ""),
    h("div", { class: "sections" }, tables.map((table) => table.element)));
}
