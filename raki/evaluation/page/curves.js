// Every metric over the rate, with its spread; drawn by plotly.

const METHOD_COLOURS = ['#8a8f98', '#e08214', '#2f8fd3', '#c44e9c', '#2ba36f', '#c9a90c', '#8f6bd6', '#d1495b'];
const SYMBOLS = ['circle', 'square', 'diamond', 'triangle-up', 'cross', 'x', 'star', 'triangle-down'];
const MARKS = { circle: '●', square: '■', diamond: '◆', 'triangle-up': '▲', cross: '✚', x: '✖', star: '★', 'triangle-down': '▼' };
const colourOf = (method) => METHOD_COLOURS[data.methods.indexOf(method) % METHOD_COLOURS.length];
const symbolOf = (method) => SYMBOLS[data.methods.indexOf(method) % SYMBOLS.length];

function metrics() {
  return Object.entries(data.columns).filter(([name, column]) =>
    column.is_metric && data.panels.some(({ row }) => Number.isFinite(row[name])));
}

function spread(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, above: Math.max(...values) - mean, below: mean - Math.min(...values), number: values.length };
}

/** One line: mean over slices and seeds at every rate, with what reaches to the least and the largest. */
function trace(method, name, rows) {
  const own = rows.filter((row) => row.method === method && Number.isFinite(row[name]));
  const rates = data.axes.rate.filter((rate) => own.some((row) => row.rate === rate));
  const points = rates.map((rate) => spread(own.filter((row) => row.rate === rate).map((row) => row[name])));
  const spreads = points.some(({ above, below }) => above > 0 || below > 0);
  return {
    x: rates, y: points.map(({ mean }) => mean), name: method, mode: 'lines+markers',
    customdata: points.map(({ mean, above, below, number }) =>
      number > 1 ? `${number} cells, ${(mean - below).toPrecision(4)} to ${(mean + above).toPrecision(4)}` : 'one cell'),
    hovertemplate: `${method}, R = %{x}: %{y:.4g}<br>%{customdata}<extra></extra>`,
    line: { color: colourOf(method), width: 2 }, marker: { symbol: symbolOf(method), size: 8 },
    error_y: {
      type: 'data', symmetric: false, visible: spreads, thickness: 1.3, width: 4,
      array: points.map(({ above }) => above), arrayminus: points.map(({ below }) => below),
    },
  };
}

function layoutOf(column) {
  const line = { type: 'line', yref: 'paper', y0: 0, y1: 1, line: { color: '#8888', width: 1, dash: 'dot' } };
  const axis = { gridcolor: '#8883', zeroline: false, automargin: true, fixedrange: true };
  return {
    title: { text: column.label, font: { size: 13 }, x: 0.02, xanchor: 'left' }, showlegend: false, height: 250,
    margin: { l: 8, r: 8, t: 34, b: 8 }, paper_bgcolor: '#0000', plot_bgcolor: '#0000', hovermode: 'closest',
    font: { family: 'system-ui, sans-serif', size: 12 },
    xaxis: { ...axis, title: { text: 'acceleration R' }, tickvals: data.axes.rate, type: data.axes.rate.every(Number.isFinite) ? 'linear' : 'category' },
    yaxis: { ...axis, rangemode: column.best === 'high' ? 'normal' : 'tozero' },
    shapes: [{ ...line, x0: viewer.place.rate, x1: viewer.place.rate }],
  };
}

function drawCurve(name, column) {
  const host = document.getElementById(`curve-${name}`);
  const oneSlice = document.getElementById('one-slice').checked;
  const rows = data.panels.map(({ row }) => row).filter((row) =>
    row.acs === viewer.place.acs && (!oneSlice || row.slice === viewer.place.slice));
  const traces = viewer.methods().map((method) => trace(method, name, rows)).filter(({ x }) => x.length);
  const isNew = !host.data;
  Plotly.react(host, traces, layoutOf(column), { displayModeBar: false, responsive: true });
  if (isNew) host.on('plotly_click', ({ points }) => viewer.go({ rate: points[0].x }));
}

/** Error over retained signal of the cells shown above: a curve over the strength of a method, the chosen one large. */
function drawTradeoff() {
  const host = document.getElementById('tradeoff');
  const rows = viewer.methods().map((method) => viewer.panel(method)?.row)
    .filter((row) => Number.isFinite(row?.retention_mean) && row.nrmse_object > 0);
  const traces = rows.flatMap((row) => {
    const [colour, symbol] = [colourOf(row.method), symbolOf(row.method)];
    const hovertemplate = `${row.method}, %{customdata}: retained %{x:.3f}, NRMSE object %{y:.4f}<extra></extra>`;
    return [{
      x: row.tradeoff.map((each) => each.retention_mean), y: row.tradeoff.map((each) => each.nrmse_object),
      customdata: row.tradeoff.map(({ strength }) => `strength ${strength.toPrecision(3)}`), hovertemplate,
      name: row.method, mode: 'lines+markers', line: { color: colour, width: 2 }, marker: { symbol, size: 5 },
    }, {
      x: [row.retention_mean], y: [row.nrmse_object], customdata: ['as chosen'], hovertemplate, name: row.method,
      mode: 'markers', marker: { symbol, color: colour, size: 14, line: { color: '#888', width: 2 } },
    }];
  });
  const column = { label: 'NRMSE object over retained signal' };
  const layout = layoutOf(column);
  Object.assign(layout, { height: 380, shapes: [], margin: { ...layout.margin, b: 24 } });
  Object.assign(layout.xaxis, { title: { text: 'retained part of the unmeasured signal' }, type: 'linear' });
  delete layout.xaxis.tickvals;
  Object.assign(layout.yaxis, { type: 'log', title: { text: 'NRMSE object' }, tickformat: '~g', nticks: 6 });
  Plotly.react(host, traces, layout, { displayModeBar: false, responsive: true });
}

/** Draw all curves, one per idle moment, so that the page answers in between. */
function drawCurves() {
  if (!globalThis.Plotly) return;
  const ticket = (drawCurves.ticket = (drawCurves.ticket ?? 0) + 1);
  const todo = metrics();
  document.getElementById('curves-note').textContent =
    `ACS ${viewer.place.acs}. Points: mean; bars: least to largest over ` +
    `${document.getElementById('one-slice').checked ? 'seeds' : 'slices and seeds'}. Dotted: the rate shown above; click a point to see its images.`;
  document.getElementById('curves-legend').replaceChildren(...viewer.methods().map((method) =>
    element('span', { style: `color:${colourOf(method)}` }, MARKS[symbolOf(method)], element('b', {}, ` ${method}`))));
  const next = () => {
    if (ticket !== drawCurves.ticket || !todo.length) return;
    drawCurve(...todo.shift());
    if (!todo.length) drawTradeoff();
    if (todo.length) requestIdleCallback(next, { timeout: 200 });
    else document.documentElement.dataset.curves = 'drawn';
  };
  requestIdleCallback(next, { timeout: 200 });
}

/** Get ready to draw; running plotly takes a moment, so that waits until somebody looks at the curves, or prints. */
async function startCurves() {
  const host = document.getElementById('curves');
  if (!host) return;
  host.replaceChildren(...metrics().map(([name, column]) =>
    element('div', { id: `curve-${name}`, role: 'img', 'aria-label': `${column.label} over the rate. ${column.about}` })));
  const code = new TextDecoder().decode(await inflated('plotly'));
  const start = () => {
    if (!globalThis.Plotly) document.head.append(Object.assign(document.createElement('script'), { textContent: code }));
    drawCurves();
  };
  const approach = new IntersectionObserver(([{ isIntersecting }]) => {
    if (!isIntersecting) return;
    approach.disconnect();
    start();
  }, { rootMargin: '300px' });
  approach.observe(host);
  document.getElementById('one-slice').addEventListener('change', drawCurves);
  viewer.onChange.push(drawCurves);
  addEventListener('beforeprint', () => {
    start();
    for (const [name, column] of metrics()) drawCurve(name, column);
    drawTradeoff();
  });
}
