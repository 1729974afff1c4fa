// A Chromium without a screen, and what every scenario needs.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
export const URL_OF_RESPITE = process.env.RESPITE_HTTP;
/** Only a failure reaches it. */
export const DEADLINE = 180_000;

let checks = 0;
export function check(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
  checks += 1;
}
export const count = () => checks;

/** Waits until something holds. */
export async function until(what, holds) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    if (await holds()) { checks += 1; return; }
    if (Date.now() > end) throw new Error(`it never came about: ${what}`);
    await new Promise((wake) => setTimeout(wake, 50));
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
/** Has the test that started this do something. */
export async function please(what) {
  console.log(`please ${what}`);
  return (await lines.next()).value;
}

/** Runs `scenario(page, problems)` in a new browser; whatever the page complains of is a failure unless taken out. */
export async function browse(options, scenario) {
  const profile = mkdtempSync(join(tmpdir(), "respite-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS, viewport: { width: 1280, height: 900 }, ...options,
  });
  try {
    const page = context.pages()[0] ?? await context.newPage();
    page.setDefaultTimeout(DEADLINE);
    const problems = [];
    page.on("pageerror", (error) => problems.push(`${error}`));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(URL_OF_RESPITE)) problems.push(`asked elsewhere: ${request.url()}`);
    });
    await scenario(page, problems, context);
    check(problems.length === 0, `no errors: ${problems.join("; ")}`);
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** What axe finds that is serious. */
export async function accessible(page, where) {
  const source = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
  const { readFileSync } = await import("node:fs");
  await page.evaluate(readFileSync(source, "utf8"));
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter((each) => ["serious", "critical"].includes(each.impact));
  check(serious.length === 0, `axe finds nothing serious (${where}): ${JSON.stringify(serious.map((each) => [each.id, each.nodes.map((node) => node.html).slice(0, 3)]))}`);
}

export const figure = (page, name) => page.locator(`[data-figure="${name}"]`).textContent();
