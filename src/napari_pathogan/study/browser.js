// A reader's session in a browser: the same order, keys, views and records as in napari. Each answer
// is on the disk (IndexedDB, strictly durable) before the next image shows. Nothing is fetched.
"use strict";

const STUDY = JSON.parse(document.getElementById("study").textContent);
const $ = (id) => document.getElementById(id);

// --- hashes

const ROUND = (() => {  // the first bits of the cube and square roots of primes (FIPS 180-4)
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const bits = (x) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  return { k: primes.map((p) => bits(Math.cbrt(p))), h: primes.slice(0, 8).map((p) => bits(Math.sqrt(p))) };
})();

function sha256(bytes) {
  const length = bytes.length, padded = new Uint8Array(((length + 8) >> 6 << 6) + 64);
  padded.set(bytes);
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(padded.length - 4, length << 3);
  const state = Int32Array.from(ROUND.h), w = new Int32Array(64), k = ROUND.k;
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3;
      const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1 | 0;
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const one = h + s1 + (e & f ^ ~e & g) + k[i] + w[i] | 0;
      const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const two = s0 + (a & b ^ a & c ^ b & c) | 0;
      h = g; g = f; f = e; e = d + one | 0; d = c; c = b; b = a; a = one + two | 0;
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => { state[i] += value; });
  }
  return Array.from(state, (x) => (x >>> 0).toString(16).padStart(8, "0")).join("");
}

const hash = (text) => sha256(new TextEncoder().encode(text));

// --- who reads, and in which order (napari_pathogan.study.layout)

const FOLD = new Map(STUDY.fold.map(([from, to]) => [from, to]));

function shownName(name) {
  return name.split(/[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/).filter(Boolean).join(" ");
}

function readerCode(name) {
  const shown = shownName(name);
  const folded = [...shown.normalize("NFKC")].map((c) => FOLD.get(c) ?? c).join("").normalize("NFKC");
  const words = folded.replace(/[^\p{L}\p{M}\p{N}]/gu, " ").split(" ").filter(Boolean);
  const code = words.join("\0").replace(/(?<=\p{Nd})\0(?=\p{Nd})/gu, " ").replaceAll("\0", "");
  const printable = !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(shown);
  return code && [...shown].length <= 80 && printable ? code : null;
}

const ranked = (...what) => { const begun = what.join(":"); return (last) => hash(`${begun}:${last}`); };
const by = (key) => (a, b) => (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0);
const said = (flag) => (flag ? "True" : "False");

function order(code) {
  const seed = `${STUDY.order_seed}:${code}`, rank = ranked(seed, "practice");
  const first = STUDY.items.filter((item) => item.kind === "practice")
    .map((item) => ({ item, key: rank(item.id), time: 1, block: -1, mirrored: false })).sort(by("key"));
  const items = STUDY.items.filter((item) => item.kind !== "practice");
  let best = [], far = -1;
  for (let n = 0; n < STUDY.tries; n++) {
    const shown = shuffled(items, `${seed}:${n}`), distance = leastDistance(shown);
    if (distance > far) [best, far] = [shown, distance];
  }
  return [...first, ...best].map(({ item, time, block, mirrored }) => ({
    id: `${item.id}.${time}`, kind: item.kind === "practice" ? "practice" : "study", block,
    images: mirrored ? [...item.images].reverse() : item.images,
  }));
}

function shuffled(items, seed) {
  const byBlock = ranked(seed, "block"), bySide = ranked(seed, "side"), byItem = ranked(seed);
  const names = [...new Set(items.map((item) => item.block))]
    .map((name) => ({ name, key: byBlock(name) })).sort(by("key")).map((x) => x.name);
  const blocks = names.map(() => []), place = new Map(names.map((name, i) => [name, i]));
  const mirrors = new Map(names.map((name) => [name, parseInt(bySide(name).at(-1), 16) % 2 === 1]));
  for (const item of items) {
    const at = place.get(item.block), mirrored = mirrors.get(item.block);
    blocks[at].push({ item, mirrored, key: byItem(`${item.id}:${said(mirrored)}`) });
    if (item.repeated) {
      const far = (at + Math.floor((names.length + 1) / 2)) % names.length;
      blocks[far].push({ item, mirrored: !mirrored, key: byItem(`${item.id}:${said(!mirrored)}`) });
    }
  }
  const seen = new Set(), shown = [];
  blocks.forEach((block, at) => {
    for (const { item, mirrored } of block.sort(by("key"))) {
      shown.push({ item, time: seen.has(item.id) ? 2 : 1, block: at, mirrored });
      seen.add(item.id);
    }
  });
  return shown;
}

function leastDistance(shown) {
  const first = new Map(), distances = [];
  shown.forEach(({ item, time }, at) => {
    if (time === 2) distances.push(at - first.get(item.id));
    else if (item.repeated) first.set(item.id, at);
  });
  return distances.length ? Math.min(...distances) : 0;
}

// --- the record (napari_pathogan.study.chain), kept in this browser

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

const now = () => new Date().toISOString().replace("Z", "+00:00");

const asked = (request) => new Promise((done, failed) => {
  request.onsuccess = () => done(request.result);
  request.onerror = () => failed(request.error);
});

class Shelf {
  static async open() {
    const request = indexedDB.open(`pathogan study ${STUDY.start}`, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("readers", { keyPath: "code" });
      request.result.createObjectStore("lines", { keyPath: ["code", "n"] });
    };
    const shelf = new Shelf();
    shelf.database = await asked(request);
    return shelf;
  }

  async record(code) {
    const transaction = this.database.transaction(["readers", "lines"]);
    const row = await asked(transaction.objectStore("readers").get(code));
    const range = IDBKeyRange.bound([code, 0], [code, Infinity]);
    const rows = await asked(transaction.objectStore("lines").getAll(range));
    const lines = rows.map((one) => one.line);
    return new Book(this, row ?? newReader(code), lines);
  }

  // resolves when the line is on the disk itself; another window's line is never overwritten
  append(row, line) {
    return new Promise((done, failed) => {
      const transaction = this.database.transaction(["readers", "lines"], "readwrite", { durability: "strict" });
      const readers = transaction.objectStore("readers");
      let parted = false;
      readers.get(row.code).onsuccess = ({ target }) => {
        if ((target.result?.count ?? 0) !== row.count - 1) {
          parted = true;
          transaction.abort();
          return;
        }
        readers.put(row);
        transaction.objectStore("lines").add({ code: row.code, n: row.count - 1, line });
      };
      transaction.oncomplete = () => done();
      transaction.onabort = () => failed(parted
        ? new Error("this reader goes on in another window; close this one")
        : transaction.error ?? new Error("the browser refused it"));
    });
  }
}

function newReader(code) {
  const drawn = crypto.getRandomValues(new Uint8Array(4));
  const computer = Array.from(drawn, (x) => x.toString(16).padStart(2, "0")).join("");
  return { code, name: "", computer, count: 0, head: STUDY.start };
}

class Book {
  constructor(shelf, row, lines) {
    [this.shelf, this.row, this.lines] = [shelf, row, lines];
    this.answered = new Set(lines.map((line) => JSON.parse(line))
      .filter((entry) => entry.what === "answer").map((entry) => entry.trial));
  }

  async write(entry) {
    const body = { n: this.row.count, previous: this.row.head, ...entry };
    const head = hash(canonical(body)), line = JSON.stringify({ ...body, hash: head });
    const row = { ...this.row, count: this.row.count + 1, head };
    await this.shelf.append(row, line);
    [this.row, this.lines] = [row, [...this.lines, line]];
    if (entry.what === "answer") this.answered.add(entry.trial);
  }

  async opened(name) {
    this.row = { ...this.row, name: this.row.name || name };
    await this.write({
      what: "opened", reader: this.row.name, consent: STUDY.consent_sha256,
      computer: this.row.computer, version: STUDY.version, at: now(),
    });
  }

  // a last line says that the file is whole; a file that was saved before goes on in the next one
  async file() {
    if (JSON.parse(this.lines.at(-1)).what !== "handed back") {
      await this.write({ what: "handed back", answers: this.answered.size, at: now() });
    }
    return new Blob(this.lines.map((line) => `${line}\n`), { type: "application/jsonl" });
  }

  get fileName() {
    const plain = this.row.code.replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "reader";
    return `answers-${plain}-${this.row.computer}.jsonl`;
  }

  get receipt() { return this.row.head.slice(0, 8); }
}

// --- images: their bytes are checked before they are shown

const arriving = new Map();

window.received = (id, text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const whole = sha256(bytes) === STUDY.images[id];
  arriving.get(id)?.(whole ? bytes : null);
};

async function picture(id) {
  const bytes = await new Promise((done, failed) => {
    const script = document.createElement("script");
    arriving.set(id, done);
    script.src = `images/${id}.js`;
    script.onload = () => { script.remove(); done(null); };  // it has called received() by then
    script.onerror = () => { script.remove(); failed(new Error("an image is missing; copy the whole folder again")); };
    document.head.append(script);
  }).finally(() => arriving.delete(id));
  if (bytes === null) throw new Error("an image was changed since the study was made; copy the whole folder again");
  const image = new Image(), url = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
  image.src = url;
  await image.decode().finally(() => URL.revokeObjectURL(url));
  return image;
}

// --- the stage

class Stage {
  constructor(canvas) {
    [this.canvas, this.images, this.view] = [canvas, [], null];
    this.looked = this.framed = () => {};
    new ResizeObserver(() => this.resized()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.zoom(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.hold(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { this.held = null; });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get ratio() { return window.devicePixelRatio || 1; }
  get width() { return this.canvas.width; }
  get height() { return this.canvas.height; }

  fit() {
    this.canvas.width = Math.round(this.canvas.clientWidth * this.ratio);
    this.canvas.height = Math.round(this.canvas.clientHeight * this.ratio);
  }

  resized() {
    this.fit();
    if (this.images.length) { this.frame(); this.draw(); this.framed(this.view); }
  }

  // resolves when the screen has them
  show(images) {
    this.images = images;
    this.fit();
    this.frame();
    this.draw();
    return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  }

  blank() { this.images = []; this.held = null; this.draw(); }

  get gap() { return Math.max(2, Math.round(STUDY.gap * this.images[0].width)); }
  get size() {
    const { width, height } = this.images[0];
    return [height, this.images.length === 1 ? width : 2 * width + this.gap];
  }

  frame() {  // in the middle, image pixels on whole pixels of the screen
    const [height, width] = this.size, side = Math.max(this.images[0].height, this.images[0].width);
    const room = Math.min(this.height * (1 - STUDY.margin) / height, this.width * (1 - STUDY.margin) / width);
    const zoom = Math.max(1, Math.min(Math.floor(room), Math.floor(STUDY.largest_px * this.ratio / side)));
    const middle = (size, free) => (size - 1) / 2 + Math.abs(free - size * zoom) % 2 / 2 / zoom;
    this.view = { zoom, y: middle(height, this.height), x: middle(width, this.width) };
  }

  draw() {
    const pen = this.canvas.getContext("2d", { alpha: false });
    pen.fillStyle = "#808080";
    pen.fillRect(0, 0, this.width, this.height);
    pen.imageSmoothingEnabled = STUDY.interpolation === "linear";
    let left = -0.5;
    for (const image of this.images) {
      const { zoom, y, x } = this.view;
      pen.drawImage(image, (left - x) * zoom + this.width / 2, (-0.5 - y) * zoom + this.height / 2,
        image.width * zoom, image.height * zoom);
      left += image.width + (this.images.length > 1 ? this.gap : 0);
    }
  }

  zoom(event) {
    event.preventDefault();
    if (!this.images.length) return;
    const zoom = Math.min(256, Math.max(1 / 16, this.view.zoom * 1.1 ** (-Math.sign(event.deltaY))));
    const off = (at, middle) => (at * this.ratio - middle / 2) * (1 / this.view.zoom - 1 / zoom);
    this.look({ zoom, y: this.view.y + off(event.offsetY, this.height), x: this.view.x + off(event.offsetX, this.width) });
  }

  hold(event) {
    this.held = { x: event.clientX, y: event.clientY };
    this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    if (!this.held || !this.images.length) return;
    const scale = this.ratio / this.view.zoom, { zoom, y, x } = this.view;
    this.look({ zoom, y: y - (event.clientY - this.held.y) * scale, x: x - (event.clientX - this.held.x) * scale });
    this.hold(event);
  }

  look(view) { this.view = view; this.draw(); this.looked(view); }
}

class Watch {
  constructor() { [this.spent, this.since] = [0, null]; }
  get running() { return this.since !== null; }
  get seconds() { return this.spent + (this.running ? (performance.now() - this.since) / 1000 : 0); }
  start() { this.since = performance.now(); }
  stop() { [this.spent, this.since] = [this.seconds, null]; }
}

// --- keys, by what they type, else by their place (napari_pathogan.plugin.study.keys)

const TYPED = { r: "R", g: "G", arrowleft: "←", arrowright: "→", enter: "Enter", escape: "Esc", 1: "1", 2: "2", 3: "3", 4: "4", 5: "5" };
const WIDE = new Map([["\uff52", "r"], ["\uff47", "g"]]);  // as they are typed between Japanese and Chinese
const DIGITS = new Map();  // 1 to 5 of any script: digits stand in tens
for (let c = 0x660; c < 0x1fbfa; c++) {
  const digit = String.fromCodePoint(c);
  if (!/\p{Nd}/u.test(digit)) continue;
  for (let n = 1; n < 6; n++) DIGITS.set(String.fromCodePoint(c + n), n);
  c += 9;
}
const PLACES = { KeyR: "R", KeyG: "G", Digit1: "1", Digit2: "2", Digit3: "3", Digit4: "4", Digit5: "5" };

function meant(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return null;
  const pad = /^Numpad([1-5])$/.exec(event.code);
  if (pad) return pad[1];
  const typed = TYPED[event.key.toLowerCase()] ?? TYPED[DIGITS.get(event.key) ?? WIDE.get(event.key.toLowerCase())];
  if (typed || /^\p{Nd}$/u.test(event.key)) return typed ?? null;
  const place = PLACES[event.code] ?? null;  // where Latin is typed, R and G are printed on other keys
  const other = /[RG]/.test(place) ? /^[\p{Script=Latin}\x20-\x7e]$/u : /^[a-z]$/i;
  return other.test(event.key.normalize("NFC")) ? null : place;
}

// --- the session

const PAGES = ["start", "consent", "rest", "trial"];
const PRACTICE = STUDY.items.filter((item) => item.kind === "practice").length;
const THINGS = STUDY.mode === "pairs" ? "pairs" : "images";
const stage = new Stage(document.querySelector("canvas"));
let shelf, book = null, trials = [], trial = null, watch = new Watch(), views = [], choice = null, sure = null;
let busy = false, given = null, buttons = {};

const page = () => PAGES.find((id) => !$(id).hidden);
const turnTo = (wanted) => { for (const id of PAGES) $(id).hidden = id !== wanted; };
const left = () => trials.filter((one) => !book.answered.has(one.id));
const round = (value, digits) => Math.round(value * 10 ** digits) / 10 ** digits;

function beginText() {
  const place = trials.findIndex((one) => !book.answered.has(one.id));
  if (!book.answered.size) return "Begin";
  if (place < 0) return "All is answered: show the receipt";
  if (place < PRACTICE) return `Go on with practice ${place + 1} of ${PRACTICE}`;
  return `Go on at ${THINGS.slice(0, -1)} ${place - PRACTICE + 1} of ${trials.length - PRACTICE}`;
}

let typing = 0;

async function named() {
  const turn = ++typing, code = readerCode($("reader").value);
  $("begin").disabled = true;
  $("hand-over").hidden = true;
  $("begin").textContent = "Begin";
  if (code === null) return;
  const found = await shelf.record(code);
  if (turn !== typing) return;  // another letter was typed meanwhile
  [book, trials] = [found, order(code)];
  $("begin").textContent = beginText();
  $("begin").disabled = false;
  $("hand-over").hidden = !book.answered.size;
}

function start() {
  trial = null;
  stage.blank();
  turnTo("start");
  return named();
}

function rest(title, text, { go = "", save = "", leave = "" }) {
  $("title").textContent = title;
  $("text").innerHTML = text.join("<br><br>");
  for (const [id, words, key] of [["go", go, "Enter"], ["save", save, ""], ["leave", leave, "Esc"]]) {
    $(id).textContent = key && words ? `${words}\u00a0 (${key})` : words;
    $(id).hidden = !words;
  }
  turnTo("rest");
}

async function agreed() {
  if (!left().length) return ended();
  const before = book.answered.size;
  await book.opened(shownName($("reader").value));
  const text = [STUDY.how, STUDY.freedom, "Your answers are kept in this browser; at the end you save them as a file."];
  if (before) text.push(`You ${beginText().replace(/^G/, "g")}.`);
  const practice = PRACTICE - before;
  if (practice > 0) {
    const these = practice > 1 ? `${practice} are for practice and do` : "one is for practice and does";
    text.push(`The ${before ? "next" : "first"} ${these} not count.`);
  }
  return rest(before ? `Welcome back, ${book.row.name}` : "How it works", text, { go: before ? "Go on" : "Start", leave: "Leave" });
}

async function goOn() {
  const [next] = left();
  if (trial?.id !== next.id) {
    [trial, watch, views, choice, sure, given] = [next, new Watch(), [], null, null, null];
    trial.pictures = await Promise.all(trial.images.map(picture));
  }
  const practice = trial.kind === "practice", at = trials.indexOf(trial);
  const [word, done, total] = practice ? ["Practice", at, PRACTICE]
    : [THINGS === "pairs" ? "Pair" : "Image", at - PRACTICE, trials.length - PRACTICE];
  $("place").textContent = `${word} ${done + 1} of ${total}`;
  [$("bar").value, $("bar").max] = [done, total];
  $("failed").textContent = "";
  turnTo("trial");
  shown();
  const showing = trial;
  await stage.show(trial.pictures);
  if (page() !== "trial" || trial !== showing || !stage.images.length) return;
  watch.start();
  const last = views.at(-1);
  if (!last || Object.entries(stage.view).some(([key, value]) => last[key] !== value)) looked(stage.view);
}

function looked(view) {
  if (!watch.running) return;
  const entry = { t: watch.seconds, ...view }, latest = views.length > 1 ? views.at(-1).t : -STUDY.views_s;
  if (views.length && (entry.t - latest < STUDY.views_s || views.length >= STUDY.most_views)) views[views.length - 1] = entry;
  else views.push(entry);
}

function shown() {
  for (const [word, button] of Object.entries(buttons)) button.setAttribute("aria-pressed", String(word === choice || Number(word) === sure));
  $("confirm").disabled = choice === null || sure === null;
  const parts = [choice && STUDY.answers[choice][0], sure && STUDY.sure[sure - 1]].filter(Boolean);
  $("chosen").textContent = `Your answer: ${parts.join(", ") || "none yet"}`;
}

async function confirm() {
  if (!watch.running || choice === null || sure === null) return;
  if (given?.choice !== choice || given?.confidence !== sure) given = { choice, confidence: sure, time_s: round(watch.seconds, 3) };
  const entry = {
    what: "answer", trial: trial.id, images: trial.images, ...given,
    zooms: views.map((view) => Object.fromEntries(Object.entries(view).map(([key, value]) => [key, round(value, key === "t" ? 3 : 4)]))), at: now(),
  };
  try {
    await book.write(entry);
  } catch (error) {
    $("failed").textContent = `The answer could not be kept (${error.message}). It stands here: press Enter to try again.`;
    return;
  }
  const before = trial, [next] = left();
  watch.stop();
  if (!next) return ended();
  if (next.block === before.block) return goOn();
  stage.blank();
  if (before.kind === "practice") return rest("That was the practice", [`Now the study starts: ${trials.length - PRACTICE} ${THINGS} that count.`], { go: "Go on", leave: "Leave" });
  return rest("Time for a break", [`${book.answered.size - PRACTICE} of ${trials.length - PRACTICE} ${THINGS} are done. The break does not count; you may also leave and go on another day, in this browser.`], { go: "Go on", save: "Save the answers so far as a file", leave: "Leave" });
}

function pause() {
  watch.stop();
  stage.blank();
  rest("Paused", [`All answers so far are kept in this browser, and the time does not count. If you leave, you go on at this ${THINGS.slice(0, -1)} the next time.`], { go: "Go on", save: "Save the answers so far as a file", leave: "Leave" });
}

function ended() {
  trial = null;
  stage.blank();
  rest("Thank you, all is done", [`All ${trials.length} answers are kept in this browser. Now save them as a file, and send that file to who runs the study.`], { save: "Save my answers as a file", leave: "Close" });
}

async function handOver() {
  const file = await book.file(), link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = book.fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  const all = !left().length, more = all ? "" : " You can go on; the next file holds these answers too.";
  rest(all ? "Thank you, all is done" : "Answers so far", [
    `${book.answered.size} of ${trials.length} answers were saved as ${book.fileName}. Send that file to who runs the study.${more}`,
    `Your receipt is <b>${book.receipt}</b>. The report shows it too: if they are alike, your answers are as you gave them.`,
  ], { save: "Save the file again", leave: "Close" });
}

// one thing at a time, so that no answer is given twice
async function once(work) {
  if (busy) return;
  busy = true;
  try {
    await work();
  } catch (error) {
    watch.stop();
    await start();
    $("trouble").textContent = `${error.message}.`.replace(/\.\.$/, ".");
  } finally {
    busy = false;
  }
}

function ask() {
  $("who").textContent = `Reader: ${shownName($("reader").value)}`;
  $("agree").checked = false;
  $("agreed").disabled = true;
  $("trouble").textContent = "";
  turnTo("consent");
}

function button(parent, word, text, press) {
  const one = document.createElement("button");
  [one.textContent, one.tabIndex, one.id] = [text, -1, `answer-${word}`];
  one.addEventListener("click", press);
  parent.append(one);
  buttons[word] = one;
}

function furnish() {
  for (const word of STUDY.choices) {
    const [label, key] = STUDY.answers[word];
    button($("choices"), word, `${label}\u00a0 (${key})`, () => { choice = word; shown(); });
  }
  STUDY.sure.forEach((word, i) => {
    button($("degrees"), String(i + 1), String(i + 1), () => { sure = i + 1; shown(); });
    buttons[i + 1].title = word;
  });
  [$("least").textContent, $("most").textContent] = [STUDY.sure[0], STUDY.sure.at(-1)];
  $("reader").addEventListener("input", () => named().catch(unkept));
  $("reader").addEventListener("keydown", (event) => { if (event.key === "Enter") $("begin").click(); });
  const presses = {
    begin: ask, back: start, agreed: () => once(agreed), go: () => once(goOn), leave: () => once(start),
    save: () => once(handOver), "hand-over": () => once(handOver), confirm: () => once(confirm), pause: () => { if (!busy) pause(); },
  };
  for (const [id, press] of Object.entries(presses)) $(id).addEventListener("click", press);
  $("agree").addEventListener("change", () => { $("agreed").disabled = !$("agree").checked; });
  stage.looked = looked;
  stage.framed = (view) => { if (views.length) views[views.length - 1] = { ...views.at(-1), ...view }; };
  addEventListener("keydown", pressed, true);
  document.addEventListener("visibilitychange", () => { if (document.hidden && page() === "trial" && watch.running) pause(); });
}

function pressed(event) {
  const where = page(), key = meant(event);
  if (!key || (where !== "trial" && where !== "rest")) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.repeat) return;
  if (where === "rest") {
    const goes = $("go").hidden ? $("save") : $("go"), wanted = key === "Enter" ? goes : key === "Esc" ? $("leave") : null;
    if (wanted && !wanted.hidden) wanted.click();
    return;
  }
  const word = STUDY.choices.find((one) => STUDY.answers[one][1] === key);
  if (word) choice = word;
  else if (/\d/.test(key)) sure = Number(key);
  else if (key === "Enter") return void once(confirm);
  else if (key === "Esc" && !busy) return pause();
  shown();
}

const unkept = (error) => { $("trouble").textContent = `This browser keeps no answers here (${error.message}); use another one, and no private window.`; };

furnish();
turnTo("start");
Shelf.open().then((opened) => {
  shelf = opened;
  navigator.storage?.persist?.();
  return start();
}).catch(unkept);
