// The scenarios: what a person does with the dashboard.

import { accessible, browse, check, count, figure, please, until, URL_OF_RESPITE } from "./browser.mjs";

const rows = (page, part) => page.locator(`#${part} tbody tr`).count();
const texts = (page, part, column) => page.locator(`#${part} tbody tr > :nth-child(${column})`).allTextContents();

/** A number as the page writes it: `12.3 k` is 12300. */
function number(text) {
  const [digits, unit] = text.replaceAll(",", "").replace("/s", "").trim().split(" ");
  return Number(digits) * ({ k: 1e3, M: 1e6, G: 1e9 }[unit] ?? 1);
}

const scenarios = {
  /** It loads, shows what /metrics says, and follows the load. */
  async figures() {
    await browse({}, async (page) => {
      const answer = await page.goto(URL_OF_RESPITE);
      const policy = answer.headers()["content-security-policy"];
      check(policy.startsWith("default-src 'none'") && !policy.includes("unsafe"), `a strict policy: ${policy}`);
      await until("it is live", async () => (await page.locator("#connection").textContent()) === "live");
      await until("the clients are shown", async () => number(await figure(page, "clients")) === Number(await please("clients")));
      await please("begin load");
      await until("requests are counted", async () => number(await figure(page, "requests_per_sec")) > 50);
      await until("hits are timed", async () => /µs|ms/.test(await figure(page, "hit_p99_us")));
      await until("the ratio is shown", async () => /\d %/.test(await figure(page, "hit_ratio")));
      await please("end load");
      await until("requests are over", async () => number(await figure(page, "requests_per_sec")) < 50);
      // Now nothing changes: page and metrics agree.
      const metrics = await (await fetch(`${URL_OF_RESPITE}/metrics`)).text();
      const metric = (name) => Number(new RegExp(`^${name} (.*)$`, "m").exec(metrics)[1]);
      await until("clients agree", async () => number(await figure(page, "clients")) === metric("respite_connected_clients"));
      const overview = await (await fetch(`${URL_OF_RESPITE}/api/overview`)).json();
      check(overview.cache.hits === metric("respite_cache_hits_total"), "hits agree");
      check(overview.cache.entries === metric("respite_cache_entries"), "entries agree");
      const hits = (await (await fetch(`${URL_OF_RESPITE}/api/latency`)).json()).find((line) => line.kind === "hit" && line.user === "default");
      const counted = /^respite_command_duration_seconds_count\{kind="hit",user="default"\} (.*)$/m.exec(metrics)[1];
      check(hits.count === Number(counted), "timed hits agree");
      await page.locator("#span-second").click();
      await until("there are curves", async () => (await page.locator("#curves path.hue4").first().getAttribute("d"))?.includes("L"));
      // Only what is in sight is refreshed.
      await page.locator("#slow").scrollIntoViewIfNeeded();
      await until("the slow command is there", async () => (await texts(page, "slow", 1)).some((text) => text.includes("DEBUG SLEEP")));
      await until("the doctor speaks of it", async () => (await page.locator(".findings").textContent()).includes("DEBUG"));
      await accessible(page, "light");
      await page.locator("#theme").click();
      await accessible(page, "dark");
    });
  },

  /** A thousand shards and hostile names: search, sorting, the INFO of one. */
  async shards() {
    await browse({}, async (page) => {
      await page.goto(URL_OF_RESPITE);
      await until("the shards are there", async () => (await page.locator("#shards .pages .quiet").textContent()).endsWith(" of 1002"));
      check((await rows(page, "shards")) === 25, "a page of them");
      await page.locator("#shards input[type=search]").fill("one-7 down");
      await until("those that match", async () => (await texts(page, "shards", 1)).every((id) => id.includes("one-7")));
      await page.locator("#shards input[type=search]").fill("live");
      await until("the one that lives", async () => (await rows(page, "shards")) === 1);
      await page.locator("#shards tbody button").click();
      const dialog = page.locator("dialog[open]");
      await until("its INFO", async () => (await dialog.textContent()).includes("redis_version"));
      await dialog.locator("input").fill("used_memory_peak_perc");
      await until("one field", async () => (await dialog.locator("tbody tr:visible").count()) === 1);
      await accessible(page, "dialog");
      // The first one empties the search field.
      await page.keyboard.press("Escape");
      await page.keyboard.press("Escape");
      check((await page.locator("dialog[open]").count()) === 0, "it closes by keyboard");
      await page.locator("#shards input[type=search]").fill("");
      const head = page.locator("#shards thead th").first();
      await head.locator("button").click();
      check((await head.getAttribute("aria-sort")) === "ascending", "sorted");
      const first = (await texts(page, "shards", 1))[0];
      await head.locator("button").click();
      check((await texts(page, "shards", 1))[0] !== first, "the other way round");
      // Names are text, whatever they contain.
      await page.locator("#shards input[type=search]").fill("onerror");
      await until("the hostile name is text", async () => (await texts(page, "shards", 1))[0] === "<img src=x onerror=alert(1)>");
      check((await page.locator("main img").count()) === 0, "no element of it");
      await until("a hostile key", async () => (await texts(page, "clients", 2)).some((name) => name.includes("</td><script>")));
      check((await page.locator("main script").count()) === 0, "no script of it");
    });
  },

  /** The backing goes and comes back. */
  async outage() {
    await browse({}, async (page, problems) => {
      await page.goto(URL_OF_RESPITE);
      await until("it is up", async () => (await page.locator("#upstream").textContent()).includes("backing up"));
      await until("services are there", async () => (await texts(page, "services", 1)).includes("api"));
      await please("stop the backing");
      await until("it says so", async () => (await page.locator(".findings").textContent()).includes("is not usable"));
      check((await page.locator("#upstream").textContent()).includes("backing away"), "in its head, too");
      await page.locator("#services").scrollIntoViewIfNeeded();
      await until("the part says that it is old", async () => await page.locator("#services .problem").isVisible());
      check((await texts(page, "services", 1)).includes("api"), "what it knew stays");
      await please("start the backing");
      await until("it is up again", async () => (await page.locator("#upstream").textContent()).includes("backing up"));
      await until("the part is up to date again", async () => !(await page.locator("#services .problem").isVisible()));
      // A refused page is a line in the browser's own log; nothing else may be.
      problems.splice(0, problems.length, ...problems.filter((text) => !text.includes("503")));
    });
  },

  /** A form, a cookie, the way out. */
  async login() {
    await browse({}, async (page, problems, context) => {
      await page.goto(URL_OF_RESPITE);
      check(page.url().endsWith("/login"), "the form comes first");
      await accessible(page, "login");
      await page.locator("#user").fill("ann");
      await page.locator("#password").fill("wrong");
      await page.keyboard.press("Enter");
      await until("it is refused", async () => (await page.locator("#wrong").textContent()).includes("not known"));
      await page.locator("#password").fill("pw");
      await page.keyboard.press("Enter");
      await until("it is live", async () => (await page.locator("#connection").textContent()) === "live");
      const [cookie] = await context.cookies();
      check(cookie.httpOnly && cookie.sameSite === "Strict", "a cookie that scripts cannot read");
      await page.locator("#logout").click();
      await page.waitForURL("**/login");
      await page.goto(URL_OF_RESPITE);
      check(page.url().endsWith("/login"), "it is over");
      problems.splice(0, problems.length, ...problems.filter((text) => !text.includes("401")));
    });
  },

  /** A phone: nothing is wider than the screen. */
  async phone() {
    await browse({ viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, colorScheme: "dark" }, async (page) => {
      await page.goto(URL_OF_RESPITE);
      await until("it is live", async () => (await page.locator("#connection").textContent()) === "live");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(wide === 0, `no wider than the screen: ${wide}`);
      await accessible(page, "phone");
    });
  },
};

await scenarios[process.argv[2]]();
console.log(`${count()} checks`);
process.exit(0);
