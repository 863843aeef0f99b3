"use strict";

const STEPS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const offset = Number(document.body.dataset.now) - Date.now();

function relative(at) {
  const away = at - (Date.now() + offset);
  const seconds = Math.floor(Math.abs(away) / 1000);
  if (seconds < 1) return "now";
  const [size, unit] = STEPS.find(([size]) => seconds >= size);
  const amount = `${Math.floor(seconds / size)} ${unit}`;
  return away > 0 ? `in ${amount}` : `${amount} ago`;
}

function tick() {
  for (const time of document.querySelectorAll("time[data-at]")) {
    const at = Number(time.dataset.at);
    const text = relative(at);
    if (time.textContent !== text) time.textContent = text;
    if (!time.title) time.title = new Date(at).toLocaleString();
  }
}

// The stream of events: its state, and its end while nobody looks at the page.
const connection = document.getElementById("connection");
let source = null;

function showConnection(state) {
  connection.dataset.state = state;
  connection.textContent = state;
}

document.addEventListener("htmx:sseOpen", (event) => {
  source = event.detail.source;
  showConnection("live");
  htmx.trigger("#live", "refresh");
});
document.addEventListener("htmx:sseError", () => showConnection("reconnecting"));
document.addEventListener("htmx:afterSwap", tick);
document.addEventListener("htmx:beforeSwap", (event) => {
  // A page that cannot be read stays as it was; an element in use is not replaced.
  if (document.querySelector("#live details.act[open]")) event.detail.shouldSwap = false;
  if (event.detail.xhr.status === 401) location.reload();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && source) {
    source.close();
    source = null;
    showConnection("paused");
  } else if (!document.hidden && connection.dataset.state === "paused") {
    const opened = document.querySelector("details.act[open]");
    if (!opened) location.reload();
  }
});
if (!document.querySelector("[sse-connect]")) connection.hidden = true;

// Keys
function setTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("ojob-theme", root.dataset.theme);
}

function move(step) {
  const links = [...document.querySelectorAll("tbody th a")];
  const row = document.activeElement.closest("tr");
  const now = links.findIndex((link) => row && row.contains(link));
  const next = now < 0 ? (step > 0 ? 0 : links.length - 1) : now + step;
  if (links[next]) links[next].focus();
}

const help = document.getElementById("help");
const keys = {
  j: () => move(1),
  k: () => move(-1),
  t: setTheme,
  "?": () => (help.open ? help.close() : help.showModal()),
  "/": () => document.getElementById("find")?.focus(),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select")) return;
  if (/^[1-9]$/.test(event.key)) {
    document.querySelectorAll("nav a")[Number(event.key) - 1]?.click();
  } else if (keys[event.key]) {
    event.preventDefault();
    keys[event.key]();
  }
});
document.getElementById("theme").addEventListener("click", setTheme);
document.getElementById("help-button").addEventListener("click", keys["?"]);

setInterval(tick, 1000);
tick();
