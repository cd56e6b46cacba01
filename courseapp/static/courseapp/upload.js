// The hand-in form, made comfortable: drop, paste or pick; names and sizes checked before anything is sent; progress; a broken
// connection keeps the chosen files. Without this script the same form posts to the same address. The rules come as a JSON block.

const UNITS = [["GB", 1024 ** 3], ["MB", 1024 ** 2], ["kB", 1024]];

export function size(bytes) {
  for (const [unit, scale] of UNITS) {
    if (bytes >= 0.9995 * scale) return `${bytes < 9.95 * scale ? Number((bytes / scale).toFixed(1)) : Math.round(bytes / scale)} ${unit}`;
  }
  return `${bytes} B`;
}

const matches = (name, pattern) =>
  new RegExp(`^${pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`).test(name);
const isZip = (name) => /\.zip$/i.test(name);
const isTaken = (name, rules) => rules.required.includes(name) || rules.allowed.some((pattern) => matches(name, pattern));

// "MLP.py", "mlp (1).py" and "mlp-2.py" are mlp.py as a computer's download folder renamed it
export function meant(name, rules) {
  const plain = (text) => text.toLowerCase().replace(/(?: ?\(\d+\)|[-_ ]\d+|[-_ ]copy)(?=\.[^.]+$)/, "");
  return rules.required.find((wanted) => wanted !== name && (plain(wanted) === plain(name) || wanted.toLowerCase() === plain(name)));
}

// What is wrong with one file, or "".
export function fault(file, rules) {
  if (!file.size) return "is empty";
  if (file.size > rules.maxFileBytes) return `is ${size(file.size)}; at most ${size(rules.maxFileBytes)} a file is accepted`;
  if (!isTaken(file.name, rules)) return `is not part of this hand-in; accepted: ${[...rules.required, ...rules.allowed].join(", ")}`;
  return "";
}

// What is wrong with the whole, as sentences. A zip is opened by the server; here only its size is known.
export function faults(files, rules) {
  const found = [];
  const total = files.reduce((sum, file) => sum + file.size, 0);
  if (files.length > rules.maxFiles) found.push(`${files.length} files are chosen; at most ${rules.maxFiles} are accepted.`);
  if (total > rules.maxTotalBytes) found.push(`Together the files have ${size(total)}; at most ${size(rules.maxTotalBytes)} are accepted.`);
  const zips = files.filter((file) => isZip(file.name));
  if (zips.length && files.length > 1) found.push("Choose either one zip or single files, not both.");
  const missing = zips.length ? [] : rules.required.filter((name) => !files.some((file) => file.name === name));
  if (missing.length) found.push(`Missing: ${missing.join(", ")}.`);
  return found;
}

function make(tag, attributes = {}, ...children) {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

const cookie = (name) => document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1);

class Upload {
  constructor(form) {
    this.form = form;
    this.rules = JSON.parse(document.getElementById(form.dataset.upload).textContent);
    this.late = this.rules.late;
    this.agreed = "";
    this.files = [];
    this.input = form.querySelector("input[type=file]");
    for (const name of ["drop", "picked", "problems", "sending", "amount", "cancel", "send", "retry", "status", "late-text", "late-yes", "late-no"]) {
      this[name.replace("-t", "T").replace("-y", "Y").replace("-n", "N")] = form.querySelector(`[data-${name}]`);
    }
    this.dialog = form.querySelector("dialog");
    this.bar = form.querySelector("progress");
    this.enhance();
  }

  enhance() {
    this.form.noValidate = true;
    this.input.required = false;
    this.input.classList.add("sr-only");
    this.form.querySelectorAll("[data-script]").forEach((element) => { element.hidden = false; });
    this.form.querySelector("[data-confirm]")?.remove();
    this.input.addEventListener("change", () => {
      this.add([...this.input.files]);
      this.input.value = "";
    });
    this.drop.addEventListener("dragover", (event) => { event.preventDefault(); this.drop.classList.add("over"); });
    this.drop.addEventListener("dragleave", (event) => this.drop.contains(event.relatedTarget) || this.drop.classList.remove("over"));
    this.drop.addEventListener("drop", (event) => this.dropped(event));
    this.form.addEventListener("submit", (event) => { event.preventDefault(); this.begin(); });
    this.retry.addEventListener("click", () => this.begin());
    this.cancel.addEventListener("click", () => this.request?.abort());
    this.lateYes.addEventListener("click", () => { this.agreed = String(this.late.days); this.dialog.close(); this.post(); });
    this.lateNo.addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.request || this.say("Nothing was sent. Your files are still chosen."));
    addEventListener("online", () => this.retry.hidden || this.say("You are online again: press Retry."));
    addEventListener("beforeunload", (event) => this.request && event.preventDefault());
  }

  say(text) { this.status.textContent = text; }

  dropped(event) {
    event.preventDefault();
    this.drop.classList.remove("over");
    const folder = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).find((entry) => entry?.isDirectory);
    if (folder) return this.complain([`${folder.name} is a folder. Drop the files in it, or a zip of it.`]);
    return this.add([...event.dataTransfer.files]);
  }

  // Takes pasted files, or pasted text as the one file that is asked for. Returns whether it took something.
  pasted(data) {
    const files = [...data.files];
    const text = data.getData("text/plain");
    const [only, ...more] = this.rules.required;
    if (!files.length && text && only && !more.length && /\.(py|md|txt|tex)$/.test(only)) files.push(new File([text], only, { type: "text/plain" }));
    if (files.length) this.add(files);
    return files.length > 0;
  }

  add(files) {
    if (this.request || !files.length) return;
    const names = files.map((file) => file.name);
    this.files = [...this.files.filter((file) => !names.includes(file.name)), ...files];
    this.show();
    this.say(`${names.join(", ")} chosen.`);
  }

  show() {
    this.complain([]);
    this.retry.hidden = true;
    this.send.hidden = false;
    this.picked.hidden = !this.files.length;
    this.picked.replaceChildren(...this.files.map((file) => this.row(file)));
  }

  row(file) {
    const remove = make("button", { type: "button", className: "link small", textContent: "Remove", ariaLabel: `Remove ${file.name}` });
    remove.addEventListener("click", () => {
      this.files = this.files.filter((other) => other !== file);
      this.show();
      this.say(`${file.name} removed.`);
      this.input.focus();
    });
    const wanted = meant(file.name, this.rules);
    const better = this.files.some((other) => other.name === wanted) ? undefined : wanted;
    const wrong = better ? "is not the name that is asked for" : fault(file, this.rules);
    const mark = make("span", { className: wrong ? "no" : "ok", ariaHidden: "true", textContent: wrong ? "✕" : "✓" });
    const row = make("li", {}, mark, make("b", { textContent: file.name }), make("span", { className: "muted small num", textContent: size(file.size) }), remove);
    if (better) {
      const rename = make("button", { type: "button", className: "link", textContent: `Rename to ${better}` });
      rename.addEventListener("click", () => {
        this.files = this.files.map((other) => (other === file ? new File([file], better, { type: file.type }) : other));
        this.show();
        this.say(`${file.name} will be handed in as ${better}.`);
        this.send.focus();
      });
      row.append(make("span", { className: "error" }, `${file.name} ${wrong}. `, rename));
    } else if (wrong) {
      row.append(make("span", { className: "error", textContent: `${file.name} ${wrong}.` }));
    } else if (isZip(file.name)) {
      row.append(make("span", { className: "muted small hash", textContent: "What is inside is checked when it arrives." }));
    }
    return row;
  }

  complain(sentences, after = "") {
    this.problems.hidden = !sentences.length;
    if (!sentences.length) return this.problems.replaceChildren();
    const [first, ...rest] = sentences;
    this.problems.replaceChildren(make("span", { textContent: first }));
    if (rest.length) this.problems.append(make("ul", {}, ...rest.map((text) => make("li", { textContent: text }))));
    if (after) this.problems.append(make("span", { textContent: after }));
    return this.problems.focus();
  }

  begin() {
    if (this.request) return;
    const wrong = this.files.map((file) => [file.name, fault(file, this.rules)]).filter(([, why]) => why).map(([name, why]) => `${name} ${why}.`);
    const all = this.files.length ? [...wrong, ...faults(this.files, this.rules)] : ["Choose a file first."];
    const ownWork = this.form.elements.own_work;
    if (!ownWork.checked) all.push("Tick the statement that the work is your own.");
    if (all.length) return this.complain(all, "Nothing was sent.");
    this.complain([]);
    if (this.late && this.agreed !== String(this.late.days)) return this.ask();
    return this.post();
  }

  ask() {
    this.lateText.textContent = this.late.sentence;
    this.dialog.showModal();
  }

  post() {
    const data = new FormData();
    data.set("csrfmiddlewaretoken", cookie("__Host-csrftoken") ?? cookie("csrftoken") ?? this.form.elements.csrfmiddlewaretoken.value);
    data.set("confirm_late", this.agreed);
    data.set("own_work", this.form.elements.own_work.value);
    for (const file of this.files) data.append("files", file, file.name);
    const request = new XMLHttpRequest();
    this.request = request;
    request.open("POST", this.form.action);
    request.setRequestHeader("Accept", "application/json");
    request.upload.addEventListener("progress", (event) => this.progress(event.loaded, event.total));
    request.upload.addEventListener("load", () => this.say("Received. Waiting for the receipt …"));
    request.addEventListener("load", () => this.answered(request));
    request.addEventListener("error", () => this.broke());
    request.addEventListener("abort", () => this.stopped());
    this.busy(true);
    this.say("Sending …");
    request.send(data);
  }

  busy(on) {
    this.sending.hidden = !on;
    this.send.disabled = on;
    this.send.hidden = false;
    this.retry.hidden = true;
    if (on) this.progress(0, this.files.reduce((sum, file) => sum + file.size, 0));
    else this.request = undefined;
  }

  progress(done, total) {
    this.reached = total ? Math.min(100, Math.round((100 * done) / total)) : 0;
    this.bar.value = this.reached;
    this.amount.textContent = `${size(done)} of ${size(total)}`;
  }

  offerRetry() {
    this.retry.hidden = false;
    this.send.hidden = true;
  }

  stopped() {
    this.busy(false);
    this.say("Cancelled. Nothing was handed in, your files are still chosen.");
    this.send.focus();
  }

  broke(why = "The connection broke") {
    const offline = navigator.onLine ? "" : " You are offline.";
    const reached = this.reached;
    this.busy(false);
    const sent = reached === 100;
    this.complain([
      `${why}${sent ? " after everything was sent" : reached ? ` at ${reached} %` : ""}.${offline} Your files are still chosen.`,
      sent
        ? "It may have arrived: open this page in another tab and look whether there is a receipt, before you press Retry."
        : "No receipt was given, so it is not handed in. Press Retry when you are connected.",
      "If you changed a file after choosing it, choose it again.",
    ]);
    this.say("");
    this.offerRetry();
    this.retry.focus();
  }

  answered(request) {
    let answer = {};
    try {
      answer = JSON.parse(request.responseText);
    } catch { /* a proxy's or a sign-in page: told apart by its status below */ }
    if (answer.redirect) {
      this.request = undefined;
      this.say("Handed in.");
      location.assign(answer.redirect);
      return;
    }
    this.busy(false);
    this.say("");
    if (request.status === 409 && answer.late) {
      this.late = answer.late;
      this.agreed = "";
      this.ask();
    } else if (answer.error) {
      this.complain([answer.error, ...(answer.details ?? [])], answer.kept ?? "Nothing was handed in. Your files are still chosen.");
    } else if (request.status === 413) {
      this.complain(["The server takes no upload of this size.", `At most ${size(this.rules.maxTotalBytes)} are accepted together.`], "Nothing was handed in.");
    } else if (request.status < 500) {
      this.complain(["You are no longer signed in.", "Sign in in another tab, then press Retry here."], "Nothing was handed in. Your files are still chosen.");
      this.offerRetry();
    } else {
      this.broke(`The server could not take it (${request.status})`);
    }
  }
}

export function start(root = document) {
  root.querySelectorAll("form[data-upload]:not([data-ready])").forEach((form) => {
    form.dataset.ready = "";
    boxes.push(new Upload(form));
  });
}

const boxes = [];
start();
document.addEventListener("htmx:load", (event) => start(event.target));
document.addEventListener("paste", (event) => {
  if (event.target.closest?.("textarea, input:not([type=file]):not([type=checkbox])")) return;
  const near = boxes.find((box) => box.form.contains(event.target));
  const names = [...event.clipboardData.files].map((file) => file.name);
  const box = near ?? (names.length ? boxes.find((other) => names.every((name) => isTaken(name, other.rules) || meant(name, other.rules))) : undefined);
  if (box?.pasted(event.clipboardData)) event.preventDefault();
});
