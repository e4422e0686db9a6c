// Tells Python whether the page is dark: by the first background behind the widget that is opaque.

const DARKER_THAN = 0.4;

function luminance(element) {
  for (let at = element; at; at = at.parentElement) {
    const parts = getComputedStyle(at).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (parts && (parts.length < 4 || parts[3] > 0.5)) {
      return (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / 255;
    }
  }
  return matchMedia("(prefers-color-scheme: dark)").matches ? 0 : 1;
}

function render({ model, el }) {
  el.style.display = "none";
  const tell = () => {
    if (!el.isConnected) return;
    const dark = luminance(el.parentElement) < DARKER_THAN;
    if (dark !== model.get("dark")) {
      model.set("dark", dark);
      model.save_changes();
    }
  };
  // A theme is a stylesheet that arrives some time after the attribute that names it.
  const later = () => [0, 300, 1500].map((ms) => setTimeout(tell, ms));
  const observer = new MutationObserver(later);
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", later);
  later();
  return () => {
    observer.disconnect();
    scheme.removeEventListener("change", later);
  };
}

export default { render };
