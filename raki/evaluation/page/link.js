// What is shown, as the fragment of the address: whoever follows a link sees the same.

const PAUSE = 200;

/** Such as rate=4&acs=24&slice=10&method=grappa&method=gated&zoom=4,0.3,0.5&image=0,0.5: what is as the page opens is left out. */
function fragment() {
  const parts = new URLSearchParams(Object.entries(viewer.place));
  if (viewer.hidden.size) for (const method of viewer.methods()) parts.append('method', method);
  const { x, y, factor } = viewer.zoom;
  const zoom = factor > 1 ? `&zoom=${[factor, x, y].map((value) => Number(value.toFixed(4))).join(',')}` : '';
  return `#${parts}${zoom}${windowsInLink()}`;
}

/** Ends of the grey or colour scale of every layer that was changed. */
function windowsInLink() {
  const changed = LAYERS.filter((layer) => viewer.windows[layer].low !== 0 || viewer.windows[layer].high !== data.scales[layer]);
  return changed.map((layer) => `&${layer}=${[viewer.windows[layer].low, viewer.windows[layer].high].map((end) => Number(end.toPrecision(4))).join(',')}`).join('');
}

function windowsFrom(parts) {
  const windows = initialWindows();
  for (const layer of LAYERS) {
    const ends = (parts.get(layer) ?? '').split(',').map(Number);
    if (ends.length === 2 && ends.every(Number.isFinite)) windows[layer] = boundedWindow(layer, ...ends);
  }
  return windows;
}

/** Show what a fragment says: without methods all, without a zoom the whole image, without windows those at first; what is not on this page is passed over. */
function follow(text) {
  const parts = new URLSearchParams(text.slice(1));
  const found = Object.entries(data.axes).map(([axis, values]) => [axis, values.find((value) => String(value) === parts.get(axis))]);
  const place = Object.fromEntries(found.filter(([, value]) => value !== undefined));
  const methods = parts.getAll('method').filter((method) => data.methods.includes(method));
  const zoom = (parts.get('zoom') ?? '').split(',').map(Number);
  viewer.move(place);
  viewer.hidden = new Set(methods.length ? data.methods.filter((method) => !methods.includes(method)) : []);
  viewer.windows = windowsFrom(parts);
  viewer.zoom = zoom.length === 3 && zoom.every(Number.isFinite) ? bounded(...zoom) : bounded(1, 0, 0);
}

/** Write the fragment soon: a page that writes it at every pixel of a drag is stopped by its browser. */
function noteLink() {
  if (!['file:', 'http:', 'https:'].includes(location.protocol)) return; // inside another page, which has the address
  clearTimeout(noteLink.timer);
  noteLink.timer = setTimeout(() => history.replaceState(null, '', fragment()), PAUSE);
}

function startLink() {
  follow(location.hash);
  addEventListener('hashchange', () => {
    follow(location.hash);
    buildPanels();
    showZoom();
    viewer.changed();
  });
}
