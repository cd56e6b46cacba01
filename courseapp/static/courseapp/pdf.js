// Shows a PDF by pdf.js: pages one below the other, each drawn when it comes near the window, with text that can be selected and read aloud.
// Nothing in the document runs: no scripts, forms or links of the PDF are active.

const STEPS = [0.5, 0.67, 0.8, 1, 1.25, 1.5, 2, 3];

class Viewer {
  constructor(root) {
    this.root = root;
    this.sheets = root.querySelector(".sheets");
    this.state = root.querySelector("[data-state]");
    this.zoom = STEPS.indexOf(1);
    this.pages = [];
    root.querySelector("[data-smaller]").addEventListener("click", () => this.step(-1));
    root.querySelector("[data-larger]").addEventListener("click", () => this.step(1));
    this.open().catch((error) => this.fail(error));
  }

  async open() {
    this.state.textContent = "Loading …";
    const { dataset } = this.root;
    this.library = await import(dataset.library);
    this.library.GlobalWorkerOptions.workerSrc = dataset.worker;
    const loading = this.library.getDocument({
      url: dataset.pdf,
      cMapUrl: `${dataset.base}cmaps/`,
      standardFontDataUrl: `${dataset.base}standard_fonts/`,
      wasmUrl: `${dataset.base}wasm/`,
      useWasm: false, // the content security policy allows no WebAssembly
      enableXfa: false,
      isEvalSupported: false,
      verbosity: 0,
      maxImageSize: 64 * 1024 * 1024,
    });
    loading.onProgress = ({ loaded, total }) => {
      if (total) this.state.textContent = `Loading … ${Math.min(100, Math.round((100 * loaded) / total))} %`;
    };
    this.document = await loading.promise;
    const many = this.document.numPages;
    this.root.querySelector("[data-count]").textContent = `${many} ${many === 1 ? "page" : "pages"}`;
    this.root.querySelector("[data-tools]").hidden = false;
    const first = await this.document.getPage(1);
    this.sheets.replaceChildren();
    this.near = new IntersectionObserver((entries) => entries.forEach((entry) => this.moved(entry)), { rootMargin: "120% 0px" });
    for (let number = 1; number <= many; number += 1) this.place(number, first.getViewport({ scale: 1 }));
    addEventListener("resize", () => { clearTimeout(this.later); this.later = setTimeout(() => this.redraw(), 200); });
  }

  place(number, { width, height }) {
    const sheet = document.createElement("div");
    sheet.className = "sheet";
    sheet.role = "group";
    sheet.ariaLabel = `Page ${number}`;
    this.size(sheet, width, height);
    this.sheets.append(sheet);
    this.pages.push({ number, sheet, width, height });
    this.near.observe(sheet);
  }

  size(sheet, width, height) {
    sheet.style.aspectRatio = `${width} / ${height}`;
    sheet.style.maxWidth = `${Math.round(Math.min(width, 900) * 1.35 * STEPS[this.zoom])}px`;
    sheet.style.width = STEPS[this.zoom] > 1 ? sheet.style.maxWidth : "";
  }

  moved({ target, isIntersecting }) {
    const page = this.pages.find(({ sheet }) => sheet === target);
    page.visible = isIntersecting;
    if (isIntersecting) this.draw(page);
    else this.drop(page);
  }

  drop(page) {
    page.task?.cancel();
    page.task = page.drawn = undefined;
    page.sheet.replaceChildren();
  }

  async draw(page) {
    if (page.drawn) return;
    page.drawn = true;
    try {
      await this.paint(page);
    } catch (error) {
      if (error.name !== "RenderingCancelledException") page.sheet.textContent = `Page ${page.number} cannot be drawn. Download the file to see it.`;
    }
  }

  async paint(page) {
    const source = await this.document.getPage(page.number);
    const natural = source.getViewport({ scale: 1 });
    this.size(page.sheet, natural.width, natural.height);
    const scale = page.sheet.clientWidth / natural.width;
    const viewport = source.getViewport({ scale });
    const density = Math.min(devicePixelRatio || 1, 2, 4096 / Math.max(viewport.width, viewport.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.floor(viewport.width * density);
    canvas.height = Math.floor(viewport.height * density);
    canvas.ariaHidden = "true";
    page.task = source.render({ canvas, viewport, transform: [density, 0, 0, density, 0, 0], annotationMode: this.library.AnnotationMode.DISABLE });
    await page.task.promise;
    if (!page.visible) return;
    const text = document.createElement("div");
    text.className = "textLayer";
    text.style.setProperty("--total-scale-factor", scale);
    page.sheet.replaceChildren(canvas, text);
    await new this.library.TextLayer({ textContentSource: source.streamTextContent(), container: text, viewport }).render();
  }

  step(by) {
    this.zoom = Math.min(STEPS.length - 1, Math.max(0, this.zoom + by));
    this.redraw();
  }

  redraw() {
    for (const page of this.pages) {
      this.size(page.sheet, page.width, page.height);
      if (!page.visible) continue;
      this.drop(page);
      this.draw(page);
    }
  }

  fail(error) {
    const why = {
      PasswordException: "This PDF needs a password.",
      InvalidPDFException: "This file is not a PDF that can be read.",
      ResponseException: "The file could not be fetched.",
    }[error.name] ?? "The PDF could not be shown.";
    this.state.className = "note warn";
    this.state.textContent = `${why} Download it to open it on your computer.`;
    this.sheets.replaceChildren(this.state);
  }
}

document.querySelectorAll("[data-pdf]").forEach((root) => new Viewer(root));
