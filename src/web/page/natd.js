// SPDX-License-Identifier: ISC
// The page of natd-web: fetches /api every few seconds and draws. Text from natd enters as text nodes alone.
"use strict";

const $ = (id) => document.getElementById(id);
const WINDOWS_S = [60, 120, 300, 600], WINDOW_S = 600, FAST_MS = 2000, SLOW_MS = 5000;

const REASONS = {
  "timeout": "neither side sent anything for as long as the timeouts allow",
  "closed": "one side closed it; natd had no part in that",
  "reset": "one side reset it; natd had no part in that",
  "deleted": "somebody used natctl delete", "flushed": "somebody used natctl flush",
  "reload": "the new configuration does not allow it", "filtered": "a filter rule forbids it",
  "address-lost": "the outside address went away", "backend-down": "the server behind it went down",
  "replaced": "another connection took its place",
};
const NATURAL = ["timeout", "closed", "reset"];

// ---- text ----

function scaled(value, unit) {
  const steps = ["", "k", "M", "G", "T", "P"];
  let i = 0;
  while (Math.abs(value) >= 999.5 && i < steps.length - 1) { value /= 1000; i++; }
  const digits = i === 0 ? (value > 0 && value < 10 && !Number.isInteger(value) ? 1 : 0) : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return [value.toFixed(digits), steps[i] + unit];
}
const short = (value, unit) => scaled(value, unit).join("\u202f");
const bits = (n) => short(n, "bit/s");
const bytes = (n) => short(n, "B");
// Small numbers of packets in full: kilopackets are not a usual unit.
const packets = (n) => n < 1e6 ? `${count(n)}\u202fpackets/s` : `${scaled(n, "").join("\u202f")}\u202fpackets/s`;
const count = (n) => Math.round(n).toString().replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

function duration(s) {
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
}
const endpoint = (e) => e === null ? "any" : e.port === null ? e.address : `${e.address}:${e.port}`;

function node(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  for (const c of children) e.append(c);
  return e;
}
function figure(id, value, unit) {
  const [number, prefixed] = scaled(value, unit);
  $(id).replaceChildren(number, prefixed ? node("small", "", "\u202f" + prefixed) : "");
}
function setText(id, text) { if ($(id).textContent !== text) $(id).textContent = text; }

// ---- asking ----

async function ask(path, parameters = {}) {
  const query = new URLSearchParams({ ...parameters, soft: "1" });
  const response = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(15000), cache: "no-store" });
  const body = await response.json();
  if (!response.ok || body.error !== undefined) throw new Error(body.error || `status ${response.status}`);
  return body;
}

// ---- curves ----

const SVG = "http://www.w3.org/2000/svg";
function svg(tag, attributes, text) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  return e;
}
function niceTop(max, floor) {
  if (max <= floor) return floor;
  const power = 10 ** Math.floor(Math.log10(max));
  return [1, 2, 2.5, 5, 10].map((f) => f * power).find((top) => top >= max * 1.02) || 20 * power;
}

class Chart {
  constructor(id, series, format, floor) {
    Object.assign(this, { series, format, floor, samples: [], at: null });
    this.card = $(id);
    this.title = this.card.querySelector("h2").textContent;
    this.plot = this.card.querySelector(".plot");
    this.legend = this.card.querySelector(".legend");
    this.root = svg("svg", { role: "img", tabindex: "0" });
    this.tip = node("div", "tip");
    this.tip.hidden = true;
    this.spoken = node("p", "hidden");
    this.spoken.setAttribute("aria-live", "polite");
    this.plot.append(this.root, this.tip, this.spoken);
    this.root.addEventListener("pointermove", (e) => this.point(e.offsetX));
    this.root.addEventListener("pointerleave", () => this.select(null));
    this.root.addEventListener("blur", () => this.select(null));
    this.root.addEventListener("keydown", (e) => this.key(e));
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }
  key(e) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -15, PageDown: 15 }[e.key];
    const last = this.samples.length - 1;
    if (last < 0) return;
    if (e.key === "Home") this.select(0);
    else if (e.key === "End") this.select(last);
    else if (e.key === "Escape") this.select(null);
    else if (step) this.select(Math.max(0, Math.min(last, (this.at ?? last) + step)));
    else return;
    e.preventDefault();
    if (this.at !== null) this.spoken.textContent = this.describe(this.at);
  }
  point(x) {
    if (!this.samples.length) return;
    const t = this.end - (this.right - x) / (this.right - this.left) * this.window * 1000;
    let best = 0;
    this.samples.forEach((s, i) => { if (Math.abs(s.time - t) < Math.abs(this.samples[best].time - t)) best = i; });
    this.select(best);
  }
  select(i) { this.at = i; this.draw(); }
  describe(i) {
    const s = this.samples[i];
    const when = new Date(s.time).toLocaleTimeString();
    return `${when}  ` + this.series.map((x) => `${x.label} ${s[x.key] === null ? "not known" : this.format(s[x.key])}`).join(", ");
  }
  update(samples) {
    this.samples = samples;
    if (this.at !== null && this.at >= samples.length) this.at = null;
    this.draw();
  }
  draw() {
    const width = this.plot.clientWidth, height = this.plot.clientHeight;
    if (!width || !height) return;
    const em = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.left = 4.6 * em; this.right = width - 4; this.top = .5 * em; this.bottom = height - 1.4 * em;
    this.end = this.samples.length ? this.samples[this.samples.length - 1].time : Date.now();
    const span = this.samples.length ? (this.end - this.samples[0].time) / 1000 : 0;
    this.window = WINDOWS_S.find((s) => s >= span - 3) || WINDOW_S; // grows with what is known
    const values = this.samples.flatMap((s) => this.series.map((x) => s[x.key] ?? 0));
    const top = niceTop(Math.max(0, ...values), this.floor);
    const x = (t) => this.right - (this.end - t) / (this.window * 1000) * (this.right - this.left);
    const y = (v) => this.bottom - v / top * (this.bottom - this.top);
    const parts = [];
    for (const f of [0, .5, 1]) {
      parts.push(svg("line", { class: f ? "rule" : "base", x1: this.left, x2: this.right, y1: y(f * top), y2: y(f * top) }));
      parts.push(svg("text", { x: this.left - .5 * em, y: y(f * top) + .25 * em, "text-anchor": "end" }, this.format(f * top).replace(/\.0+(?!\d)|(\.\d*?)0+(?!\d)/, "$1")));
    }
    for (const [part, anchor] of [[1, "start"], [.5, "middle"], [0, "end"]]) {
      const ago = this.window * part;
      const label = ago === 0 ? "now" : ago % 60 ? `−${ago} s` : `−${ago / 60} min`;
      parts.push(svg("text", { x: x(this.end - ago * 1000), y: height - .1 * em, "text-anchor": anchor }, label));
    }
    for (const s of this.series) parts.push(...this.curve(s, x, y));
    if (this.at !== null && this.samples[this.at]) {
      const at = x(this.samples[this.at].time);
      parts.push(svg("line", { class: "cross", x1: at, x2: at, y1: this.top, y2: this.bottom }));
      this.tip.textContent = this.describe(this.at);
      this.tip.hidden = false;
      this.tip.style.left = `${Math.max(0, Math.min(width - this.tip.offsetWidth, at - this.tip.offsetWidth / 2))}px`;
    } else {
      this.tip.hidden = true;
    }
    this.root.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.root.replaceChildren(...parts);
    this.tell();
  }
  curve(s, x, y) {
    const runs = [];
    let run = null;
    for (const p of this.samples) {
      if (p[s.key] === null || p.time < this.end - this.window * 1000) { run = null; continue; }
      if (!run) runs.push(run = []);
      run.push([x(p.time).toFixed(1), y(p[s.key]).toFixed(1)]);
    }
    return runs.flatMap((r) => {
      const d = "M" + r.map((p) => p.join(",")).join("L");
      return [svg("path", { class: `area ${s.style}`, d: `${d}L${r[r.length - 1][0]},${this.bottom}L${r[0][0]},${this.bottom}Z` }),
              svg("path", { class: `line ${s.style}`, d })];
    });
  }
  tell() {
    const last = this.samples[this.samples.length - 1];
    const now = (s) => last && last[s.key] !== null ? this.format(last[s.key]) : "–";
    this.legend.replaceChildren(...this.series.map((s) => node("span", `key ${s.style}`, `${s.label} ${now(s)}`)));
    this.root.setAttribute("aria-label", `${this.title} over the last ten minutes. Now: ` +
      this.series.map((s) => `${s.label} ${now(s)}`).join(", ") + ". Arrow keys read single samples.");
  }
}

const charts = [
  new Chart("chart-traffic", [{ key: "out_bits", label: "out", style: "out" }, { key: "in_bits", label: "in", style: "in" }], bits, 1000),
  new Chart("chart-sessions", [{ key: "opened", label: "opened", style: "opened" }, { key: "ended", label: "ended", style: "ended" }], (v) => short(v, "/s"), 10),
  new Chart("chart-drops", [{ key: "drops", label: "dropped", style: "bad" }], (v) => short(v, "/s"), 10),
];

// ---- what the figures show ----

let samples = [], lastSample = 0, stats = null, statsAt = 0, limit = 0;

function addSamples(rates) {
  const columns = rates.columns;
  if (rates.last < lastSample) { samples = []; }
  for (const row of rates.samples) {
    const s = Object.fromEntries(row.map((v, i) => [columns[i], v]));
    s.out_bits = s.out_bytes === null ? null : s.out_bytes * 8;
    s.in_bits = s.in_bytes === null ? null : s.in_bytes * 8;
    samples.push(s);
  }
  const begin = samples.length ? samples[samples.length - 1].time - WINDOW_S * 1000 : 0;
  samples = samples.filter((s) => s.time >= begin);
  lastSample = rates.last;
  for (const c of charts) c.update(samples);
  const now = samples[samples.length - 1];
  if (!now || now.out_bytes === null) return;
  figure("out-bits", now.out_bits, "bit/s");
  figure("in-bits", now.in_bits, "bit/s");
  setText("out-packets", packets(now.out_packets));
  setText("in-packets", packets(now.in_packets));
  figure("sessions", now.sessions, "");
  figure("host-count", now.hosts, "");
  figure("drop-rate", now.drops, "/s");
}

function bar(label, parts, total, note) {
  const track = node("div", "track");
  let used = 0;
  for (const [style, value] of parts) {
    const i = node("i", style);
    i.style.width = `${total > 0 ? Math.min(100, value / total * 100) : 0}%`;
    track.append(i);
    used += value;
  }
  if (total > 0 && used / total >= .8) track.classList.add("full");
  return node("div", "bar", node("div", "label", node("span", "", label), node("span", "", note)), track);
}
const share = (part, all) => all > 0 ? `${(part / all * 100).toFixed(part / all < .1 ? 1 : 0)} %` : "0 %";

function showPools(pools, truncated) {
  const bars = [];
  if (stats) bars.push(bar("sessions in the table", [["", stats.sessions_open]], stats.sessions_limit,
    `${count(stats.sessions_open)} of ${count(stats.sessions_limit)} sessions, ${share(stats.sessions_open, stats.sessions_limit)}`));
  const fullest = (p) => Math.max(p.used.tcp, p.used.udp, p.used.icmp) / Math.max(1, p.ports);
  const shown = [...pools].sort((a, b) => fullest(b) - fullest(a)).slice(0, 4);
  for (const p of shown) {
    for (const protocol of ["tcp", "udp", "icmp"]) {
      const resting = p.quarantined ? p.quarantined[protocol] : 0, used = p.used[protocol] - resting;
      bars.push(bar(`${p.address} ${protocol}`, [["", used], ["quarantined", resting]], p.ports,
        `${count(used)}${resting ? ` + ${count(resting)}` : ""} of ${count(p.ports)} ${protocol === "icmp" ? "ids" : "ports"}`));
    }
  }
  $("bars").replaceChildren(...bars);
  $("bars-more").hidden = pools.length <= shown.length;
  setText("bars-more", `The ${shown.length} fullest of ${truncated ? "more than " : ""}${pools.length} outside addresses.`);
}

function showStates() {
  const rows = Object.entries(stats).filter(([name]) => /^sessions_(tcp|udp|icmp|other)_/.test(name));
  const total = Math.max(1, stats.sessions_open);
  const present = rows.filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]);
  if (!present.length) { $("states").replaceChildren(node("p", "quiet", "There are no sessions.")); return; }
  $("states").replaceChildren(...present.map(([name, n]) => {
    const [, protocol, state] = name.match(/^sessions_([a-z]+)_(.*)$/);
    return bar(`${protocol} ${protocol === "tcp" ? state.toUpperCase() : state}`, [["", n]], total, `${count(n)} sessions, ${share(n, total)}`);
  }));
  document.querySelectorAll("#states .full").forEach((e) => e.classList.remove("full"));
}

function showStats(next) {
  const now = performance.now(), elapsed = (now - statsAt) / 1000, before = stats;
  const isNext = before && next.uptime >= before.uptime;
  stats = next;
  statsAt = now;
  setText("sessions-sub", `of ${count(stats.sessions_limit)} at most`);
  setText("mapping-count", `${count(stats.mappings_open)} mappings`);
  const drops = Object.entries(stats).filter(([name, n]) => name.startsWith("drop_") && n > 0)
    .map(([name, n]) => ({ name, n, rate: isNext ? Math.max(0, n - (before[name] || 0)) / elapsed : 0 }))
    .sort((a, b) => b.rate - a.rate || b.n - a.n);
  setText("drop-sub", `${count(drops.reduce((sum, d) => sum + d.n, 0))} packets since start`);
  const rows = drops.map((d) => node("tr", d.rate > 0 ? "live" : "",
    node("td", "code", d.name), node("td", "n", d.rate > 0 ? short(d.rate, "") : "0"), node("td", "n", count(d.n))));
  if (!rows.length) rows.push(emptyRow(3, "No packet was dropped since natd started."));
  $("drops").replaceChildren(...rows);
  showStates();
}
function emptyRow(columns, text) {
  const cell = node("td", "empty", text);
  cell.colSpan = columns;
  return node("tr", "", cell);
}

function showStatus(s) {
  setText("interface", s.interface ? `on ${s.interface}` : "");
  setText("about", `${s.addresses.join(", ") || "no outside address"} · version ${s.version} · up ${duration(s.uptime)}`);
  document.title = `natd ${s.addresses[0] || ""}`;
  const warnings = s.warnings.map((w) => node("li", "", w.text, w.remedy ? node("span", "", ` ${w.remedy}`) : ""));
  if ($("warnings").textContent !== warnings.map((w) => w.textContent).join("")) $("warnings").replaceChildren(...warnings);
}

function reasonMark(reason) {
  const mark = node("span", NATURAL.includes(reason) ? "reason" : "reason bad", reason);
  mark.title = REASONS[reason] || "";
  return mark;
}
function sessionRow(s, first, last) {
  return node("tr", "", node("td", "n", first), node("td", "", s.protocol + (s.state ? ` ${s.state}` : "")),
    node("td", "code", endpoint(s.inside)), node("td", "code", endpoint(s.outside)), node("td", "code", endpoint(s.remote)),
    node("td", "n", bytes(s.out.bytes)), node("td", "n", bytes(s.in.bytes)), node("td", "", last));
}
function showEnded(list) {
  const rows = [...list].reverse().map((s) => sessionRow(s, duration(s.ended), reasonMark(s.reason)));
  if (!rows.length) rows.push(emptyRow(8, "No session has ended yet."));
  $("ended").replaceChildren(...rows);
  const ended = stats ? Object.entries(stats).filter(([n, v]) => n.startsWith("sessions_ended_") && v > 0)
    .map(([n, v]) => `${n.slice(15).replace("_", "-")} ${count(v)}`) : [];
  setText("ended-sum", ended.length ? `since start: ${ended.join(", ")}` : "");
}

function showHosts(list) {
  $("hosts-card").hidden = false;
  const rate = (h, way) => h[way].bytes_rate !== null ? bits(h[way].bytes_rate * 8) : bytes(h[way].bytes);
  const rows = list.map((h) => node("tr", "", node("td", "code", h.address), node("td", "n", count(h.sessions)),
    node("td", "n", count(h.ports)), node("td", "n", rate(h, "out")), node("td", "n", rate(h, "in"))));
  if (!rows.length) rows.push(emptyRow(5, "No inside host has a session."));
  $("hosts").replaceChildren(...rows);
}

// ---- the clockwork ----

let awaySince = null;

function showState(isUp, why, detail = "") {
  if (isUp) awaySince = null;
  else awaySince = awaySince || new Date();
  document.body.classList.toggle("stale", !isUp);
  $("state").className = `state ${isUp ? "up" : "away"}`;
  setText("state-text", isUp ? "live" : `${why} since ${awaySince.toLocaleTimeString()}`);
  $("state").title = isUp ? "" : detail;
}

let isUp = false;
async function fast() {
  try {
    const rates = await ask("/api/rates", { since: lastSample });
    const wasUp = isUp;
    addSamples(rates);
    isUp = rates.up;
    showState(isUp, "natd is away", rates.natd.error);
    if (isUp) showStats(await ask("/api/stats"));
    if (isUp && !wasUp) slow();
  } catch (error) {
    isUp = false;
    showState(false, navigator.onLine === false ? "no network" : "no answer");
  }
}
async function part(work) {
  try { await work(); } catch (error) { /* fast() tells when natd is away */ }
}
async function slow() {
  if (!isUp) return;
  await part(async () => showStatus(await ask("/api/status")));
  await part(async () => { const p = await ask("/api/pools", { limit: 256 }); showPools(p.pools, p.pools.length === 256); });
  await part(async () => showEnded(await ask("/api/history", { limit: 30 })));
  await part(async () => showHosts(await ask("/api/hosts", { sort: "rate", limit: 15 })));
}
function every(ms, work) {
  const turn = async () => {
    if (!document.hidden) await work();
    setTimeout(turn, ms);
  };
  turn();
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) fast().then(slow); });

// ---- search ----

function parseQuery(text) {
  const found = { protocol: null, ends: [] };
  for (const word of text.trim().toLowerCase().split(/[\s,>→-]+/).filter(Boolean)) {
    const m = word.match(/^(\d{1,3}(?:\.\d{1,3}){3})(?:[:](\d{1,5}))?$/);
    if (["tcp", "udp", "icmp"].includes(word)) found.protocol = word;
    else if (m && (m[2] === undefined || Number(m[2]) <= 65535) && m[1].split(".").every((b) => Number(b) <= 255))
      found.ends.push({ address: m[1], port: m[2] });
    else return { error: `“${word}” is neither an address, address:port, nor tcp, udp or icmp.` };
  }
  if (found.ends.length < 1 || found.ends.length > 2) return { error: "Name one endpoint, or two: from and to." };
  return found;
}
// The filters that find an end in each place where it can stand.
function filtersOf(q) {
  const with_ = (names, e, more = {}) => {
    const f = { ...more, [names[0]]: e.address };
    if (e.port !== undefined) f[names[1]] = e.port;
    if (q.protocol) f.proto = q.protocol;
    return f;
  };
  const SRC = ["orig-src", "sport"], DST = ["orig-dst", "dport"], REPLY_DST = ["reply-dst", "reply-port-dst"], REPLY_SRC = ["reply-src", "reply-port-src"];
  if (q.ends.length === 2) {
    const [a, b] = q.ends;
    return [with_(DST, b, with_(SRC, a)), with_(DST, a, with_(SRC, b)), with_(REPLY_DST, a, with_(REPLY_SRC, b))];
  }
  return [SRC, DST, REPLY_DST, REPLY_SRC].map((names) => with_(names, q.ends[0]));
}
async function askAll(path, filters) {
  const lists = await Promise.all(filters.map((f) => ask(path, { ...f, limit: 50 })));
  return [...new Map(lists.flat().map((s) => [s.id, s])).values()];
}
function table(title, rows, first, last) {
  const heads = [first, "Protocol", "Inside", "Outside", "Remote", "out", "in", last];
  const numeric = [0, 5, 6];
  const box = node("div", "scroll", node("table", "", node("thead", "", node("tr", "", ...heads.map((h, i) => node("th", numeric.includes(i) ? "n" : "", h)))), node("tbody", "", ...rows)));
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", title);
  return [node("h3", "", title), box];
}
async function holders(q, at) {
  if (q.ends.length !== 1 || q.ends[0].port === undefined) return [];
  const parameters = { endpoint: `${q.ends[0].address}:${q.ends[0].port}` };
  if (q.protocol) parameters.protocol = q.protocol;
  if (at) parameters.at = at;
  const list = await ask("/api/who", parameters);
  const time = (t) => t === null ? null : new Date(t * 1000).toISOString().replace(/\.\d+Z/, "Z");
  const lines = list.map((h) => node("p", "answer", node("strong", "", endpoint(h.inside)),
    ` ${at ? "had" : "has"} ${endpoint(h.outside)} (${h.protocol})`,
    h.since ? `, since ${time(h.since)}` : "", h.until ? `, until ${time(h.until)}` : ""));
  if (!lines.length) lines.push(node("p", "answer", `Nobody ${at ? "is known to have had" : "has"} ${parameters.endpoint} ${at ? "then" : "as an outside endpoint"}.`));
  return lines;
}
async function search(event) {
  event.preventDefault();
  const q = parseQuery($("query").value), at = $("at").value.trim(), body = $("result-body");
  $("result").hidden = false;
  $("result-title").textContent = `Search: ${$("query").value.trim()}`;
  if (q.error) { body.replaceChildren(node("p", "answer", q.error)); return; }
  body.replaceChildren(node("p", "quiet", "searching"));
  try {
    const filters = filtersOf(q);
    const [who, open, ended] = [await holders(q, at), await askAll("/api/list", filters), await askAll("/api/history", filters)];
    const parts = [...who];
    if (open.length) parts.push(...table(`Open now: ${count(open.length)}`, open.map((s) => sessionRow(s, duration(s.age), s.flags.join(" ") || "–")), "age", "Flags"));
    if (ended.length) parts.push(...table(`Ended: ${count(ended.length)}`, ended.reverse().map((s) => {
      const row = sessionRow(s, duration(s.ended) + " ago", reasonMark(s.reason));
      row.lastChild.append(` ${REASONS[s.reason] || ""}`);
      return row;
    }), "ended", "What became of it"));
    if (!open.length && !ended.length) parts.push(node("p", "", "No connection with it is open, and the history has none that ended."));
    body.replaceChildren(...parts);
  } catch (error) {
    body.replaceChildren(node("p", "answer", `No answer: ${error.message}`));
  }
  $("result-title").focus();
}
$("search").addEventListener("submit", search);
$("result-close").addEventListener("click", () => { $("result").hidden = true; $("query").focus(); });
document.addEventListener("keydown", (e) => {
  if (e.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) { $("query").focus(); e.preventDefault(); }
});

every(FAST_MS, fast);
every(SLOW_MS, slow);
