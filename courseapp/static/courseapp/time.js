// Adds to every <time datetime> what the server cannot know: how far away it is now, and the reader's own clock where it differs.
// The attribute carries the course's offset, so both zones are known without a table. `data-plain` asks for no relative part.

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

export function distance(milliseconds) {
  const size = Math.abs(milliseconds);
  const [days, hours, minutes] = [Math.floor(size / DAY), Math.floor((size % DAY) / HOUR), Math.floor((size % HOUR) / MINUTE)];
  if (size < MINUTE) return milliseconds >= 0 ? "in less than a minute" : "just now";
  let text = `${minutes} min`;
  if (days >= 7) text = `${days} d`;
  else if (days) text = hours ? `${days} d ${hours} h` : `${days} d`;
  else if (hours) text = hours < 6 && minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  return milliseconds >= 0 ? `in ${text}` : `${text} ago`;
}

function courseOffset(text) {
  const found = /([+-])(\d\d):?(\d\d)$/.exec(text);
  if (!found) return 0;
  return (found[1] === "-" ? -1 : 1) * (Number(found[2]) * 60 + Number(found[3]));
}

function localText(moment, text) {
  if (-moment.getTimezoneOffset() === courseOffset(text)) return "";
  const parts = { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZoneName: "short" };
  return `${moment.toLocaleString("en-GB", parts).replace(",", "")} for you`;
}

function mend(element) {
  const text = element.getAttribute("datetime");
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return;
  const local = localText(moment, text);
  if ("plain" in element.dataset) {
    if (local) element.title = local;
    return;
  }
  let more = element.querySelector(":scope > .more");
  if (!more) {
    more = document.createElement("span");
    more.className = "more";
    element.append(more);
  }
  const said = [distance(moment - Date.now()), local].filter(Boolean).map((part) => ` · ${part.replaceAll(" ", "\u00a0")}`).join("");
  if (more.textContent !== said) more.textContent = said;
}

function mendAll(root = document) {
  if (root.matches?.("time[datetime]")) mend(root);
  root.querySelectorAll("time[datetime]").forEach(mend);
}

mendAll();
setInterval(() => document.hidden || mendAll(), 30_000);
document.addEventListener("visibilitychange", () => document.hidden || mendAll());
document.addEventListener("htmx:load", (event) => mendAll(event.target));
