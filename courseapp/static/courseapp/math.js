// Sets the TeX of .math elements with KaTeX. The library is fetched only on pages that have math; without it the TeX stays readable.

const loader = document.getElementById("math-loader");
let katex;

function load() {
  katex ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = loader.dataset.style;
    const script = document.createElement("script");
    script.src = loader.dataset.katex;
    script.onload = () => resolve(window.katex);
    script.onerror = () => reject(new Error("KaTeX did not load"));
    document.head.append(style, script);
  });
  return katex;
}

async function set(root = document) {
  const waiting = [...root.querySelectorAll(".math:not(.done)")];
  if (!waiting.length) return;
  const { render } = await load();
  for (const element of waiting) {
    if (element.classList.contains("done")) continue; // another call set it while this one waited
    const source = element.textContent;
    try {
      render(source, element, { displayMode: element.classList.contains("block"), throwOnError: true, maxExpand: 500, maxSize: 20, strict: "ignore" });
      element.classList.add("done");
    } catch (error) {
      element.textContent = source;
      element.title = `This TeX could not be set: ${error.message}`;
      element.classList.add("done", "failed");
    }
  }
  await document.fonts.ready;
  // what is too wide scrolls, and what scrolls must be reachable by keyboard
  for (const element of waiting) if (element.classList.contains("block") && element.scrollWidth > element.clientWidth) element.tabIndex = 0;
}

set().catch(() => undefined);
document.addEventListener("htmx:load", (event) => set(event.target).catch(() => undefined));
