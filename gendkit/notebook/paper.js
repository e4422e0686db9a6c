// Tells Python whether the page is dark, by the first background behind the widget that is opaque,
// and how wide its box is. Tells plotly's figures when that changes: they listen to the window alone.

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
  const fit = () => {
    window.dispatchEvent(new Event("resize"));
    const width = Math.round(el.parentElement?.clientWidth ?? 0);
    if (width && width !== model.get("width")) {
      model.set("width", width);
      model.save_changes();
    }
  };
  const later = () => [0, 300, 1500].map((ms) => setTimeout(tell, ms));
  const observer = new MutationObserver(later);
  observer.observe(document.body, { attributes: true });
  observer.observe(document.documentElement, { attributes: true });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", later);
  // Figures that are drawn before they have a place take the width of none.
  const room = new ResizeObserver(fit);
  const placed = requestAnimationFrame(() => room.observe(el.parentElement ?? el));
  const drawn = [500, 2000].map((ms) => setTimeout(fit, ms));
  later();
  return () => {
    cancelAnimationFrame(placed);
    drawn.forEach(clearTimeout);
    room.disconnect();
    observer.disconnect();
    scheme.removeEventListener("change", later);
  };
}

export default { render };
