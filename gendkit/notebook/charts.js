// Lets plotly's figures beside it take the notebook's colours and the width that there is.
// plotly draws before it is in the page, and later looks at the window alone.

const STYLE = `
  .gendkit-chart .main-svg text { fill: var(--gendkit-text) !important; }
  .gendkit-chart .hoverlayer path { fill: var(--gendkit-paper) !important;
    fill-opacity: 1 !important; stroke: #7c828b !important; }
  .gendkit-chart .modebar-btn--logo { display: none; }
  .gendkit-chart {
    --gendkit-text: var(--jp-ui-font-color1, var(--vscode-editor-foreground, currentColor));
    --gendkit-paper: var(--jp-layout-color1, var(--vscode-editor-background, Canvas)); }
`;

function render({ el }) {
  const style = document.createElement("style");
  style.textContent = STYLE;
  el.append(style);
  const observer = new ResizeObserver(() => {
    // The frame grows when a figure is drawn in it, which may be after this.
    if (el.parentElement) observer.observe(el.parentElement);
    requestAnimationFrame(() => window.dispatchEvent(new Event("resize")));
  });
  observer.observe(el);
  return () => observer.disconnect();
}

export default { render };
