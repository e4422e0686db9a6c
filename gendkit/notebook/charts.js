// Lets plotly's figures beside it take the notebook's colours and the width that there is.
// plotly draws before it is in the page, and later looks at the window alone.

const STYLE = `
  .gendkit-chart .main-svg text { fill: var(--gendkit-text) !important; }
  .gendkit-chart .hoverlayer path { fill: var(--gendkit-paper) !important;
    fill-opacity: 1 !important; stroke: color-mix(in srgb, var(--gendkit-text) 50%, transparent) !important; }
  .gendkit-chart .modebar-btn--logo { display: none; }
  .gendkit-chart {
    --gendkit-text: var(--jp-ui-font-color1, var(--vscode-editor-foreground, currentColor));
    --gendkit-paper: var(--jp-layout-color1, var(--vscode-editor-background, Canvas)); }
`;

function render({ el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  el.append(style);
  const resize = () => requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  const exchanged = new MutationObserver(resize);
  const resized = new ResizeObserver(() => {
    // The frame grows when a figure is drawn in it, and not when one takes another's place.
    if (el.parentElement) {
      resized.observe(el.parentElement);
      exchanged.observe(el.parentElement, { childList: true });
    }
    resize();
  });
  resized.observe(el);
  return () => {
    resized.disconnect();
    exchanged.disconnect();
  };
}

export default { render };
