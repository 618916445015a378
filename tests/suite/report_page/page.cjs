// Opens pages in Chromium as people do, and says what is wrong with each.
//
//   node page.cjs MODULES CHROMIUM LOOKS PAGE...
//
// Prints one JSON document: for each page, width and scheme what was found. Unless LOOKS is empty, it
// is a folder for pictures of what was seen. Scripts are off while a page is opened: what axe needs is
// turned on only afterwards.
"use strict";
const { createRequire } = require("node:module");
const { mkdirSync, readFileSync } = require("node:fs");
const { join, basename } = require("node:path");
const { pathToFileURL } = require("node:url");

const [modules, executablePath, looks, ...pages] = process.argv.slice(2);
const from = createRequire(join(modules, "from.js"));
const puppeteer = from("puppeteer-core");
const axe = readFileSync(from.resolve("axe-core/axe.min.js"), "utf8");
const SLOW = 300_000;
const EVERY = [[320, "light"], [360, "light"], [360, "dark"], [1280, "light"], [1280, "dark"]];
const FEW = [[320, "light"], [1280, "dark"]];

// Whatever is wider than the window, whether or not it shows. What scrolls by itself is not.
function wider() {
  const found = [];
  for (const one of document.querySelectorAll("body *")) {
    const place = one.getBoundingClientRect();
    const hidden = place.width <= 1 || one.closest(".skip, svg");
    if (place.right > innerWidth + 0.5 && !hidden && !one.closest(".wide")) {
      found.push(`${one.tagName}.${one.className} to ${place.right}`);
    }
  }
  return {
    inner: innerWidth,
    scroll: document.documentElement.scrollWidth,
    found: found.slice(0, 5),
  };
}

async function audit(tab) {
  await tab.evaluate(axe);
  const { violations } = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  return violations.map(({ id, impact, nodes }) => ({
    id,
    impact,
    nodes: nodes.slice(0, 3).map((node) => node.html.slice(0, 200)),
  }));
}

async function look(tab, file, width, scheme) {
  const asked = [];
  const said = [];
  tab.on("request", (request) => asked.push(request.url()));
  tab.on("console", (message) => said.push(message.text()));
  tab.on("pageerror", (error) => said.push(String(error)));
  await tab.setJavaScriptEnabled(false);
  await tab.setViewport({ width, height: width < 600 ? 780 : 900, deviceScaleFactor: width < 600 ? 2 : 1 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
  await tab.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const result = { page: basename(file), width, scheme, asked: asked.slice(1) };
  result.closed = await tab.evaluate(wider);
  const name = join(looks, `${basename(file, ".html")}-${width}-${scheme}.png`);
  if (looks) await tab.screenshot({ path: name, fullPage: true });
  await tab.evaluate(() => document.querySelectorAll("details").forEach((one) => (one.open = true)));
  result.open = await tab.evaluate(wider);
  // Large pages are there to be opened; what they are made of is judged on the small ones.
  if (!basename(file).startsWith("large")) {
    await tab.setJavaScriptEnabled(true);
    result.axe = await audit(tab);
  }
  result.foreign = await tab.evaluate(
    () => document.querySelectorAll("script, img, iframe, object, embed, link, form, base, [onload]").length,
  );
  result.background = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  result.said = said;
  return result;
}

// On paper every year of the calendar is there, opened or not.
async function print(tab, file) {
  await tab.setJavaScriptEnabled(false);
  await tab.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const path = looks ? join(looks, `${basename(file, ".html")}.pdf`) : undefined;
  const bytes = await tab.pdf({ format: "a4", path, timeout: SLOW, preferCSSPageSize: true, printBackground: false });
  await tab.emulateMediaType("print");
  const heights = await tab.evaluate(() =>
    [...document.querySelectorAll("details.year:not([open]) .month")].map((one) => one.getBoundingClientRect().height),
  );
  const text = Buffer.from(bytes).toString("latin1");
  return {
    page: basename(file),
    sheets: (text.match(/\/Type\s*\/Page\b/g) ?? []).length,
    hidden: heights.filter((height) => height === 0).length,
    months: heights.length,
  };
}

async function main() {
  if (looks) mkdirSync(looks, { recursive: true });
  const browser = await puppeteer.launch({
    executablePath,
    headless: "shell",
    pipe: true,
    timeout: SLOW,
    protocolTimeout: SLOW,
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"],
  });
  const results = { looks: [], prints: [] };
  try {
    const fresh = async (use) => {
      const tab = await browser.newPage();
      tab.setDefaultTimeout(SLOW);
      const result = await use(tab);
      await tab.close();
      return result;
    };
    for (const file of pages) {
      const ordinary = /^(troubled|fine)\./.test(basename(file));
      for (const [width, scheme] of ordinary ? EVERY : FEW) {
        results.looks.push(await fresh((tab) => look(tab, file, width, scheme)));
      }
      results.prints.push(await fresh((tab) => print(tab, file)));
    }
  } finally {
    await browser.close();
  }
  console.log(JSON.stringify(results));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
