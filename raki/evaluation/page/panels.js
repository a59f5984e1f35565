// The panels: a picture of every method in every layer, its figures and its scale.

const SCALE_PART = 0.3;

/** Figures (columns reference and methods) of every layer; their pictures come later. */
function buildPanels() {
  const host = document.getElementById('panels');
  const columns = [...(viewer.hasReference() ? [null] : []), ...viewer.methods()];
  host.style.setProperty('--columns', columns.length);
  const { shape: [height, width] } = Object.values(data.pictures)[0];
  host.classList.toggle('single', columns.length === 1);
  host.style.setProperty('--layers', LAYERS.length);
  host.style.setProperty('--aspect', width / (height * data.pixelAspect));
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
    type: 'button', class: 'worst screen', 'aria-label': `worst region of ${method}`, title: 'Zoom all panels to where this error is largest (w)',
    onclick: () => showWorst(method),
  }, 'worst region');
}

function markChosen() {
  for (const { host, method } of viewer.tiles) host.classList.toggle('chosen', data.methods.length > 1 && method === viewer.chosen);
}

/** Where not all columns fit, such as on a phone: the chosen method beside the reference. */
function bringChosen() {
  const host = document.getElementById('panels');
  const chosen = host.querySelector('.chosen');
  if (chosen) host.scrollLeft = chosen.offsetLeft + chosen.offsetWidth - host.offsetLeft - host.clientWidth;
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
  const filling = shown.filter(({ method }) => scoreOf(method)?.fills);
  const isBest = (name, value) => {
    const values = filling.map(({ row }) => row[name]).filter(Number.isFinite);
    const { best } = data.columns[name];
    return best && Math.min(...values) < Math.max(...values) && value === (best === 'low' ? Math.min(...values) : Math.max(...values));
  };
  const entry = (name, row) => {
    const column = data.columns[name];
    const text = `${column.label} ${figure(column, row[name])}`;
    if (!scoreOf(row.method).fills || !isBest(name, row[name])) return element('span', { title: column.about }, text);
    const { mark, class: kind, title } = star(scoreOf(row.method));
    return element('span', { title: [column.about, title].filter(Boolean).join('; '), class: `least ${kind}` }, `${text}\u00a0${mark}`);
  };
  const noiseFloor = Number.isFinite(shown[0]?.row.noise_floor) ? [entry('noise_floor', shown[0].row)] : [];
  for (const { layer, method, metrics } of viewer.tiles) {
    if (!metrics) continue;
    const panel = method !== null && viewer.panel(method);
    if (!panel) { metrics.replaceChildren(...(method !== null ? ['not computed here'] : layer === 'image' ? noiseFloor : [ABOUT_OBJECT])); continue; }
    if (MAPS.includes(layer) && !panel[layer] && !data.summary) { metrics.textContent = 'no map in this file'; continue; }
    const names = Object.keys(data.columns).filter((name) => data.columns[name].under === layer);
    metrics.replaceChildren(...names.map((name) => entry(name, panel.row)),
      ...(layer === 'image' ? badge(panel.row.warnings) : layer === 'gfactor' ? price(method) : []));
  }
}

function badge(warnings = []) {
  const text = `⚠ ${warnings.length > 1 ? `${warnings.length} warnings` : 'warning'}`;
  return warnings.length ? [element('span', { class: 'warned', title: warnings.join('\n') }, text)] : [];
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
  drawScaleBar();
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

/** A bar of a round length on the first image, at every zoom, where the size of a pixel is known. */
function drawScaleBar() {
  const { host } = viewer.tiles[0];
  const { shape: [, width] } = Object.values(data.pictures)[0];
  if (!data.pixelSize) return;
  const across = (1000 * width * data.pixelSize[1]) / viewer.zoom.factor;
  const power = 10 ** Math.floor(Math.log10(SCALE_PART * across));
  const length = Math.max(...[1, 2, 5].map((each) => each * power).filter((each) => each <= SCALE_PART * across * (1 + 1e-9)));
  const bar = host.querySelector('.mm') ?? element('div', { class: 'mm' });
  bar.style.width = `${(100 * length) / across}%`;
  bar.textContent = `${Number(length.toPrecision(1))} mm`;
  host.querySelector('.frame').append(bar);
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

function writeLegend(layer) {
  const host = document.getElementById(`legend-${layer}`);
  const { low, high } = viewer.windows[layer];
  const ticks = [0, 0.5, 1].map((part) => element('span', {}, shortly(low + part * (high - low))));
  host.querySelector('.ticks').replaceChildren(...ticks);
  const scale = {
    image: `level ${shortly((low + high) / 2)}, window ${shortly(high - low)}`,
    error: `${shortly(data.scales.image / high)} × amplified; one scale for all methods, larger errors are cut`,
    gfactor: 'one scale for all methods',
    retention: '0 zero filling, 1 faithful',
  };
  host.querySelector('.scale').textContent = scale[layer];
  const values = { level: (low + high) / 2, width: Math.log(high - low), high: Math.log(high) };
  for (const input of host.querySelectorAll('input')) if (input !== document.activeElement) input.value = values[input.dataset.slider];
}
