// What is shown, as the fragment of the address: whoever follows a link sees the same.

const PAUSE = 200;

/** Such as rate=4&acs=24&slice=10&method=grappa&method=gated&zoom=4,0.3,0.5: methods only if some are hidden. */
function fragment() {
  const parts = new URLSearchParams(Object.entries(viewer.place));
  if (viewer.hidden.size) for (const method of viewer.methods()) parts.append('method', method);
  const { x, y, factor } = viewer.zoom;
  const zoom = factor > 1 ? `&zoom=${[factor, x, y].map((value) => Number(value.toFixed(4))).join(',')}` : '';
  return `#${parts}${zoom}`;
}

/** Show what a fragment says: without methods all, without a zoom the whole image; what is not on this page is passed over. */
function follow(text) {
  const parts = new URLSearchParams(text.slice(1));
  const found = Object.entries(data.axes).map(([axis, values]) => [axis, values.find((value) => String(value) === parts.get(axis))]);
  const place = Object.fromEntries(found.filter(([, value]) => value !== undefined));
  const methods = parts.getAll('method').filter((method) => data.methods.includes(method));
  const zoom = (parts.get('zoom') ?? '').split(',').map(Number);
  viewer.move(place);
  viewer.hidden = new Set(methods.length ? data.methods.filter((method) => !methods.includes(method)) : []);
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
