// What is shown: the chosen place, the windows, the zoom that all panels share, and the panels themselves.

const LAYERS = Object.keys(data.scales);
const TITLES = { image: 'image', error: '|image − reference|', gfactor: 'g-factor', retention: 'signal retained' };
const MAPS = ['gfactor', 'retention'];
const ABOUT = { image: '', error: 'where NRMSE object and g-factors are taken; the rest is blue' };
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const shortly = (value) => (value === 0 ? '0' : value.toPrecision(3));

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function figure(column, value) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'string') return value;
  return column.digits === null ? Number(value.toPrecision(4)).toString() : value.toFixed(column.digits).replace(/^-(?=[0.]+$)/, '');
}

const initialWindows = () => Object.fromEntries(LAYERS.map((layer) => [layer, { low: 0, high: data.scales[layer] }]));

const viewer = {
  place: Object.fromEntries(Object.entries(data.axes).map(([axis, values]) => [axis, values[0]])),
  hidden: new Set(),
  chosen: data.methods[0],
  windows: initialWindows(),
  zoom: { x: 0, y: 0, factor: 1 },
  flicker: false,
  tiles: [],
  onChange: [],

  methods() { return data.methods.filter((method) => !this.hidden.has(method)); },
  hasReference() { return Object.keys(data.references).length > 0; },
  matches({ place }) {
    return Object.entries(this.place).every(([axis, value]) => (place[axis] ?? value) === value);
  },
  shows(panel) { return !this.hidden.has(panel.method) && this.matches(panel); },
  panel(method) { return data.panels.find((panel) => panel.method === method && this.matches(panel)); },

  go(place) {
    Object.assign(this.place, place);
    return this.changed();
  },
  step(axis, by) {
    const values = data.axes[axis] ?? [];
    const next = values[values.indexOf(this.place[axis]) + by];
    if (next !== undefined) this.go({ [axis]: next });
    return next !== undefined;
  },
  toggle(method) {
    if (this.hidden.has(method)) this.hidden.delete(method);
    else if (this.methods().length > 1) this.hidden.add(method);
    buildPanels();
    return this.changed();
  },
  choose(by) {
    const methods = this.methods();
    this.chosen = methods[(methods.indexOf(this.chosen) + by + methods.length) % methods.length];
    markChosen();
    document.querySelector('.panels .chosen')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  },
  async changed() {
    for (const listener of this.onChange) listener();
    await loadTiles();
  },
};

/** Figures (columns reference and methods) of every layer; their pictures come later. */
function buildPanels() {
  const host = document.getElementById('panels');
  const columns = [...(viewer.hasReference() ? [null] : []), ...viewer.methods()];
  host.style.setProperty('--columns', columns.length);
  host.classList.toggle('single', columns.length === 1);
  viewer.tiles = LAYERS.flatMap((layer) => columns.map((method) => tile(layer, method)));
  host.replaceChildren(...LAYERS.flatMap((layer) =>
    [legend(layer), ...viewer.tiles.filter((each) => each.layer === layer).map(({ host: figure }) => figure)]));
  const sizes = new ResizeObserver(drawTiles);
  for (const { canvas } of viewer.tiles) if (canvas) sizes.observe(canvas);
  markChosen();
}

function tile(layer, method) {
  const isReference = method === null;
  if (isReference && MAPS.includes(layer)) return { layer, method, host: element('div', { class: 'blank' }) };
  const name = isReference ? (layer === 'error' ? 'object' : 'reference') : method;
  const canvas = element('canvas', { role: 'img', 'aria-label': `${name}, ${isReference ? 'image' : TITLES[layer]}` });
  const lines = { metrics: element('span', { class: 'metrics' }), pixel: element('span', { class: 'pixel' }) };
  const cross = element('i', { class: 'cross' });
  const heading = element('span', { class: 'name' }, name);
  const host = element('figure', { 'data-layer': layer, 'data-method': method ?? '' },
    element('div', { class: 'frame' }, canvas, cross), element('figcaption', {}, heading, lines.metrics, lines.pixel));
  const made = { layer, method, host, canvas, cross, ...lines, picture: null, bitmap: document.createElement('canvas') };
  if (!isReference) {
    host.addEventListener('pointerdown', () => { viewer.chosen = method; markChosen(); });
    if (layer === 'error') heading.after(worstButton(method));
  }
  attachGestures(made);
  return made;
}

function worstButton(method) {
  return element('button', {
    type: 'button', class: 'worst screen', title: 'Zoom all panels to where this error is largest (w)',
    onclick: () => showWorst(method),
  }, 'worst region');
}

function markChosen() {
  for (const { host, method } of viewer.tiles) host.classList.toggle('chosen', data.methods.length > 1 && method === viewer.chosen);
}

/** Unpack what the chosen place shows, then draw it, unless something else has been chosen meanwhile. */
async function loadTiles() {
  const ticket = (loadTiles.ticket = (loadTiles.ticket ?? 0) + 1);
  const { tiles } = viewer;
  const referenceId = data.references[viewer.place.slice];
  const reference = referenceId && await pictureOf(referenceId);
  const object = referenceId && await pictureOf(data.objects[viewer.place.slice]);
  const pictures = await Promise.all(tiles.map(async ({ layer, method }) => {
    if (method === null) return MAPS.includes(layer) ? null : reference;
    const panel = viewer.panel(method);
    if (!panel) return null;
    if (MAPS.includes(layer)) return panel[layer] && pictureOf(panel[layer]);
    const image = await pictureOf(panel.image);
    return layer === 'error' ? difference(image, reference) : image;
  }));
  if (ticket !== loadTiles.ticket || tiles !== viewer.tiles) return;
  tiles.forEach((each, i) => { each.picture = pictures[i]; });
  Object.assign(viewer, { reference, object });
  writeMetrics();
  paintTiles();
  document.documentElement.dataset.shown = JSON.stringify(viewer.place);
}

function writeMetrics() {
  const shown = viewer.methods().map((method) => viewer.panel(method)).filter(Boolean);
  const isBest = (name, value) => {
    const values = shown.map(({ row }) => row[name]).filter(Number.isFinite);
    const { best } = data.columns[name];
    return best && Math.min(...values) < Math.max(...values) && value === (best === 'low' ? Math.min(...values) : Math.max(...values));
  };
  const entry = (name, row) => {
    const column = data.columns[name];
    const text = `${column.label} ${figure(column, row[name])}`;
    return element('span', { title: column.about, ...(isBest(name, row[name]) && { class: 'least' }) }, text);
  };
  for (const { layer, method, metrics } of viewer.tiles) {
    if (!metrics) continue;
    const panel = method !== null && viewer.panel(method);
    if (!panel) { metrics.textContent = method === null ? ABOUT[layer] : 'not computed here'; continue; }
    const names = Object.keys(data.columns).filter((name) => data.columns[name].under === layer);
    const badge = layer === 'image' && panel.row.warnings?.length
      ? [element('a', { class: 'warned', href: '#warnings', title: panel.row.warnings.join('\n') }, `⚠ ${panel.row.warnings.length > 1 ? `${panel.row.warnings.length} warnings` : 'warning'}: see above`)]
      : [];
    metrics.replaceChildren(...names.map((name) => entry(name, panel.row)), ...badge);
  }
}

/** Colour every picture on the scale of its layer. */
function paintTiles() {
  for (const each of viewer.tiles) {
    if (!each.canvas) continue;
    each.canvas.classList.toggle('absent', !each.picture);
    if (!each.picture) continue;
    const isFlickering = viewer.flicker && each.layer === 'image' && viewer.reference;
    const isObject = each.method === null && each.layer === 'error';
    const layer = isObject ? 'image' : each.layer;
    const picture = isFlickering ? viewer.reference : each.picture;
    coloured(picture, viewer.windows[layer], TABLES[layer], each.bitmap, isObject ? viewer.object.values : null);
    each.canvas.style.aspectRatio = `${each.picture.width} / ${each.picture.height * data.pixelAspect}`;
  }
  for (const layer of LAYERS) writeLegend(layer);
  drawTiles();
}

/** The zoomed part of every coloured picture on its canvas; magnified pixels stay squares. */
function drawTiles() {
  const { x, y, factor } = viewer.zoom;
  for (const { canvas, bitmap, picture } of viewer.tiles) {
    if (!picture || !canvas.clientWidth) continue;
    const density = Math.min(devicePixelRatio, 2);
    const [width, height] = [canvas.clientWidth * density, canvas.clientHeight * density].map(Math.round);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext('2d');
    context.imageSmoothingEnabled = width < bitmap.width / factor;
    context.imageSmoothingQuality = 'high';
    const part = [bitmap.width / factor, bitmap.height / factor];
    context.drawImage(bitmap, x * bitmap.width, y * bitmap.height, ...part, 0, 0, width, height);
  }
}

function zoomTo(x, y, factor) {
  const bounded = clamp(factor, 1, 32);
  viewer.zoom = { x: clamp(x, 0, 1 - 1 / bounded), y: clamp(y, 0, 1 - 1 / bounded), factor: bounded };
  document.getElementById('panels').classList.toggle('zoomed', bounded > 1);
  drawTiles();
  syncControls();
}

/** Zoom by `by` so that what is at (u, v) of a panel stays there. */
function zoomAt(u, v, by) {
  const { x, y, factor } = viewer.zoom;
  const next = clamp(factor * by, 1, 32);
  zoomTo(x + u / factor - u / next, y + v / factor - v / next, next);
}

function showWorst(method) {
  const found = viewer.tiles.find((each) => each.layer === 'error' && each.method === method)?.picture;
  if (!found) return;
  const size = Math.max(4, Math.round(Math.min(found.width, found.height) / 8));
  const { x, y, rms } = worstSquare(found, size);
  const factor = Math.min(found.width, found.height) / (2 * size);
  viewer.chosen = method;
  markChosen();
  zoomTo((x + size / 2) / found.width - 0.5 / factor, (y + size / 2) / found.height - 0.5 / factor, factor);
  document.getElementById('where').append(
    ` · worst ${size} × ${size} pixels of ${method}: root mean square error ${shortly(rms)} around (${x + (size >> 1)}, ${y + (size >> 1)})`);
}

function setWindow(layer, low, high) {
  const smallest = data.scales[layer] / 500;
  const top = Math.max(high, low + smallest, smallest);
  viewer.windows[layer] = { low: clamp(low, layer === 'image' ? -data.scales.image : 0, top - smallest), high: top };
  paintTiles();
}

function reset() {
  viewer.windows = initialWindows();
  zoomTo(0, 0, 1);
  paintTiles();
}

/** Colour bar, sliders and what the scale says, of one layer. */
function legend(layer) {
  const bar = element('div', { class: 'colours', style: `background:linear-gradient(to right,${data.colours[layer].join(',')})` });
  const slider = (name, label, low, high) => element('label', { class: 'screen' }, element('span', {}, label), element('input', {
    type: 'range', min: low, max: high, step: 'any', 'data-slider': name, 'aria-label': `${TITLES[layer]}: ${label}`,
    oninput: ({ target }) => slid(layer, name, Number(target.value)),
  }));
  const sliders = layer === 'image'
    ? [slider('level', 'level', 0, 1.2 * data.scales.image), slider('width', 'window', Math.log(data.scales.image / 100), Math.log(2 * data.scales.image))]
    : [slider('high', 'up to', Math.log(data.scales[layer] / 50), Math.log(4 * data.scales[layer]))];
  return element('div', { class: 'legend', id: `legend-${layer}` }, element('h3', {}, TITLES[layer]),
    bar, element('div', { class: 'ticks' }), element('p', { class: 'scale' }), ...sliders);
}

function slid(layer, name, value) {
  const { low, high } = viewer.windows[layer];
  if (name === 'high') return setWindow(layer, 0, Math.exp(value));
  const level = name === 'level' ? value : (low + high) / 2;
  const width = name === 'width' ? Math.exp(value) : high - low;
  return setWindow(layer, level - width / 2, level + width / 2);
}

function writeLegend(layer) {
  const host = document.getElementById(`legend-${layer}`);
  const { low, high } = viewer.windows[layer];
  const ticks = [0, 0.5, 1].map((part) => element('span', {}, shortly(low + part * (high - low))));
  host.querySelector('.ticks').replaceChildren(...ticks);
  const scale = {
    image: `level ${shortly((low + high) / 2)}, window ${shortly(high - low)}`,
    error: `${shortly(data.scales.image / high)} × amplified; one scale for all methods`,
    gfactor: 'one scale for all methods',
    retention: '0 zero filling, 1 faithful',
  };
  host.querySelector('.scale').textContent = scale[layer];
  const values = { level: (low + high) / 2, width: Math.log(high - low), high: Math.log(high) };
  for (const input of host.querySelectorAll('input')) if (input !== document.activeElement) input.value = values[input.dataset.slider];
}
