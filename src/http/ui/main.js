// Loads what the page shows: what is live as server-sent events, the rest when its part can be seen.

import { h, say } from "./dom.js";
import * as parts from "./parts.js";
import { span } from "./units.js";

const $ = (id) => document.getElementById(id);
const detail = $("detail");

/** Fetches JSON; an error says what the server says. */
async function load(path) {
  const response = await fetch(path, { headers: { accept: "application/json" }, signal: AbortSignal.timeout(30000) });
  if (response.status === 401) {
    location.replace("/login");
    throw new Error("a login is needed");
  }
  const body = await response.json();
  if (!response.ok) {
    const error = new Error(body.error ?? `status ${response.status}`);
    error.denied = response.status === 403;
    throw error;
  }
  return body;
}

// === one shard ===

async function open(row) {
  let body = { info: {} };
  try {
    body = await load(`/api/shards/${encodeURIComponent(row.id)}`);
  } catch (error) {
    body.error = error.message;
  }
  parts.info(detail, row, body);
  if (!detail.open) detail.showModal();
}

detail.addEventListener("click", (event) => {
  if (event.target === detail) detail.close();
});

// === the parts ===

const all = [parts.glance(), parts.curves(), parts.slowlog(), parts.latency(), parts.shards(open), parts.hotkeys(), parts.services(), parts.buses(),
  parts.gateway(), parts.clients(), parts.log()];
$("main").append(...all.map((part) => part.element));
$("nav").append(...all.map((part) => h("a", { href: `#${part.id}` }, part.title)));

let step = "minute";

async function refresh(part) {
  if (part.busy) {
    part.again = true;
    return;
  }
  part.busy = true;
  part.due = performance.now() + part.every * 1000;
  try {
    const wanted = step;
    const path = part.source === "/api/history" ? `${part.source}?step=${wanted}` : part.source;
    const body = await load(path);
    if (part.source !== "/api/history" || wanted === step) part.show(body);
    part.problem.hidden = true;
    part.content.hidden = false;
    part.element.classList.remove("old");
  } catch (error) {
    if (error.denied) {
      // Rules seldom change.
      part.due = performance.now() + 60_000;
      say(part.problem, `Your login may not see this: ${error.message}`);
    } else {
      // What was shown last stays, marked as old.
      part.element.classList.add("old");
      say(part.problem, `This part is not up to date: ${error.message}`);
    }
    part.content.hidden = Boolean(error.denied);
    part.problem.hidden = false;
  }
  part.busy = false;
  if (part.again) {
    part.again = false;
    refresh(part);
  }
}

const seen = new Set();
const watch = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const part = all.find((each) => each.element === entry.target);
    if (entry.isIntersecting) seen.add(part);
    else seen.delete(part);
  }
}, { rootMargin: "200px" });

for (const part of all.filter((each) => each.source)) {
  part.due = 0;
  watch.observe(part.element);
  // Once for all, so that searching in the page finds what is further down.
  refresh(part);
}

setInterval(() => {
  if (document.hidden) return;
  const now = performance.now();
  for (const part of seen) if (now >= part.due) refresh(part);
}, 500);

// === what is live ===

const [glance] = all;
let events = null;
let heard = performance.now();

function connection(kind, text) {
  const pill = $("connection");
  pill.className = `pill ${kind}`;
  say(pill, text);
}

function live(overview) {
  heard = performance.now();
  connection("good", "live");
  say($("version"), overview.version);
  const { up, server, version } = overview.upstream;
  const product = `${server.charAt(0).toUpperCase()}${server.slice(1)} ${version}`;
  $("upstream").replaceChildren(h("span", { class: `badge ${up ? "good" : "bad"}` }, up ? "backing up" : "backing away"), " ",
    h("span", { "data-figure": "upstream" }, overview.upstream.address), h("span", { class: "quiet" },
      `${version && ` · ${product}`} · up ${span(overview.uptime_seconds)}`));
  document.title = overview.findings?.some((finding) => finding.severity === "critical") ? "(!) Respite" : "Respite";
  glance.live(overview);
}

function listen() {
  events?.close();
  events = new EventSource("/api/live");
  events.addEventListener("overview", (event) => live(JSON.parse(event.data)));
}

listen();
load("/api/overview").then(live, () => {});

setInterval(async () => {
  if (performance.now() - heard < 4000) return;
  connection("bad", "not connected");
  // An event source does not say why it failed: ask as the rest of the page does.
  try {
    live(await load("/api/overview"));
    if (events.readyState === EventSource.CLOSED) listen();
  } catch {
    if (events.readyState === EventSource.CLOSED) listen();
  }
}, 2000);

// === what the reader chooses ===

function choose(wanted) {
  step = wanted;
  for (const each of ["second", "minute"]) $(`span-${each}`).setAttribute("aria-pressed", String(each === wanted));
  const curves = all.find((part) => part.source === "/api/history");
  curves.every = wanted === "second" ? 1 : 5;
  refresh(curves);
}
$("span-second").addEventListener("click", () => choose("second"));
$("span-minute").addEventListener("click", () => choose("minute"));

const dark = matchMedia("(prefers-color-scheme: dark)");
function theme(wanted) {
  const name = wanted ?? (dark.matches ? "dark" : "light");
  document.documentElement.dataset.theme = name;
  say($("theme"), name === "dark" ? "Light" : "Dark");
}
theme(localStorage.getItem("theme"));
dark.addEventListener("change", () => theme(localStorage.getItem("theme")));
$("theme").addEventListener("click", () => {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
});

// The cookie is none of this page's business, so whether somebody is logged in is asked for.
fetch("/logout", { headers: { accept: "application/json" } }).then((response) => {
  $("logout").hidden = response.status !== 204;
});
$("logout").addEventListener("click", async () => {
  await fetch("/logout", { method: "POST" });
  location.replace("/login");
});
