// Under each page that the search has found: a passage that holds most of the words looked for.
// Sphinx would fetch the page for that, and a page that is opened from a file may not fetch.
"use strict";

const AROUND = 90; // letters on each side

function places(text, stem) {
  const found = [];
  for (let at = text.indexOf(stem); at >= 0; at = text.indexOf(stem, at + 1)) found.push(at);
  return found;
}

function excerpt(text, stems) {
  const lower = text.toLowerCase();
  const found = stems.map((stem) => places(lower, stem));
  const near = (at) => found.filter((each) => each.some((other) => Math.abs(other - at) < AROUND)).length;
  let best = { near: 0 };
  for (const at of found.flat().sort((a, b) => a - b)) {
    if (near(at) > best.near) best = { at, near: near(at) };
  }
  if (!best.near) return null;
  const end = best.at + lower.slice(best.at).match(/^[\p{L}\p{N}_]*/u)[0].length;
  const line = document.createElement("p");
  line.className = "excerpt";
  const mark = document.createElement("mark");
  mark.textContent = text.slice(best.at, end);
  line.append(
    (best.at > AROUND ? "… " : "") + text.slice(Math.max(0, best.at - AROUND), best.at),
    mark,
    text.slice(end, end + AROUND) + " …"
  );
  return line;
}

document.addEventListener("DOMContentLoaded", () => {
  const query = new URLSearchParams(location.search).get("q") || "";
  // A word may stand in another form: its last letters do not count.
  const words = query.toLowerCase().match(/[\p{L}\p{N}_]{2,}/gu) || [];
  const stems = words.map((word) => (word.length > 6 ? word.slice(0, -2) : word));
  const root = new URL(document.documentElement.dataset.content_root || "./", location.href);
  const results = document.getElementById("search-results");
  if (!results) return;
  new MutationObserver(() => {
    for (const item of results.querySelectorAll("ul.search li:not([data-seen], .kind-object)")) {
      const link = item.querySelector("a");
      if (!link) continue;
      item.dataset.seen = "";
      const page = link.href.slice(root.href.length).replace(/[#?].*$/, "").replace(/\.html$/, "");
      const line = excerpt(TEXTS[page] || "", stems);
      if (line) item.append(line);
    }
  }).observe(results, { childList: true, subtree: true });
});
