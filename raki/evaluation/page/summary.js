// The table at the top, and the price of every method at the rate and ACS that are shown.

/** The ACS at which a rate is shown: the chosen one, or the one that it has. */
function acsAt(rate) {
  const there = data.summary.scores.filter((score) => score.rate === rate).map(({ acs }) => acs);
  return there.includes(viewer.place.acs) ? viewer.place.acs : there[0];
}

function scoreOf(method, { rate, acs } = viewer.place) {
  return data.summary?.scores.find((score) => score.method === method && score.rate === rate && score.acs === acs);
}

/** The mark of a best value, hollow where the method has a price, and what says so. */
function star(score) {
  const prices = Object.entries(score?.prices ?? {}).map(([name, before]) =>
    `${data.summary.columns.find((column) => column.name === name).label} ${score.values[name]} (${data.summary.baseline} ${before})`);
  return prices.length ? { mark: '☆', class: 'priced', title: `at a price: ${prices.join(', ')}` } : { mark: '★', class: 'unpriced', title: '' };
}

/** What a low noise may have cost, beside its map; amber where that is more than the stated limit. */
function price(method) {
  const score = scoreOf(method);
  if (!score?.fills) return [];
  const isMean = ['slice', 'seed'].some((axis) => data.axes[axis]?.length > 1);
  const about = element('span', { class: 'cost' }, 'means over slices and seeds:');
  return [...(isMean ? [about] : []), ...data.summary.columns.filter(({ name }) => ['point_peak', 'ghost_index', 'noise_bias', 'seconds'].includes(name)).map(({ name, label, about }) => {
    const before = score.prices[name];
    const text = name === 'seconds' ? `${score.values[name]} s` : `${label} ${score.values[name]}`;
    return element('span', { title: about, class: before ? 'cost priced' : 'cost' }, before ? `${text} (${data.summary.baseline} ${before})` : text);
  })];
}

function startSummary() {
  const table = document.getElementById('summary');
  if (!table) return;
  const rateOf = (text) => data.axes.rate.find((rate) => String(rate) === text);
  for (const button of table.querySelectorAll('button')) button.addEventListener('click', () => viewer.go({ rate: rateOf(button.value) }));
  viewer.onChange.push(() => {
    for (const entry of table.querySelectorAll('[data-acs]')) {
      const rate = rateOf(entry.dataset.rate);
      const isShown = entry.dataset.acs === String(acsAt(rate)) && (rate === viewer.place.rate || entry.dataset.each === 'rate');
      entry.hidden = !isShown;
    }
    for (const cell of table.querySelectorAll('.of-rate')) cell.classList.toggle('chosen', cell.dataset.rate === String(viewer.place.rate));
    document.getElementById('summary-where').textContent = `at R = ${viewer.place.rate}, ACS ${viewer.place.acs}`;
  });
}
