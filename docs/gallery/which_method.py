# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Which method when
#
# | your scan | take |
# |---|---|
# | any, for a start | `gated`, the default |
# | R = 2, or seconds count | `grappa` |
# | R = 3 and more, and structures larger than a few pixels matter | `sparse`; of single pixels it gives back 0.3 of their height |
# | R = 3 and more, and there is time: less error than `gated`, and more of small points | `spirit` |
# | single pixels matter, such as vessels | `grappa` with `--calibration measured`, which is plain GRAPPA; or `--faithful 0.9` |
# | random masks, or others that are no lattice | `sparse` |
# | a trained network, and seconds do not count | `rraki` |
# | a comparison with the literature | `raki`, the network of 2019, and plain GRAPPA |
#
# None of them has a price of zero. What each gains over plain GRAPPA, and what it
# loses, on [six scans](../methods.md#the-six-scans) ([what each method
# is](../methods.md)):

# %% tags=["hide-input"]
import json
from pathlib import Path

import matplotlib.pyplot as plt
from IPython.display import Markdown, display

RESULTS = Path('../../benchmarks/results')
LABELS = {
    'plain-grappa': 'GRAPPA, plain',
    'grappa': '`grappa`',
    'gated': '`gated`',
    'spirit': '`spirit`',
}
LABELS |= {
    'sparse': '`sparse`',
    'rraki': '`rraki`',
    'espirit': 'SENSE (sigpy)',
    'l1-wavelet': 'wavelets (sigpy)',
}

ceiling, networks, lesions, cost, price = (
    json.loads((RESULTS / f'{name}.json').read_text())['summary']
    for name in ('ceiling', 'ceiling_networks', 'lesions', 'method_cost', 'price')
)
errors = ceiling | {'rraki': networks['rraki']}
contrast = {'plain-grappa': 1.0} | {
    name: each['mean_contrast'] for name, each in lesions.items()
}
visible = {'plain-grappa': 1.0} | {
    name: each['geomean_snr'] for name, each in lesions.items()
}


def written(value: float | None, digits: int = 2) -> str:
    """As it stands in the table."""
    return '–' if value is None else f'{value:.{digits}f}'


rows = [
    (
        label,
        f'{errors[name]["geomean_nrmse_object"]:.2f} ({errors[name]["worst_nrmse_object"]:.2f})',
        written(contrast.get(name)),
        written(visible.get(name)),
        written(price['4'].get(name, {}).get('mean_point_peak')),
        written(errors[name]['mean_seconds']),
        written(cost.get(name), 1),
    )
    for name, label in LABELS.items()
]
heads = (
    'method',
    'error (worst)',
    'lesion contrast',
    'lesion SNR',
    'points kept',
    's, mean',
    's, large slice',
)
lines = [heads, ('---',) * len(heads), *rows]
display(Markdown('\n'.join(f'| {" | ".join(line)} |' for line in lines)))

# %% [markdown]
# - **error**: inside the object, over that of plain GRAPPA in the same cell, geometric
#   mean and worst: six scans, two axes, R = 3 to 6, ACS of 16, 24 and 32 lines
#   (`rraki`: R = 4 and 5, 24 lines). Lower is better.
# - **lesion contrast**, the price: what comes back of the contrast of small discs (3 to
#   5 pixels, 20 %; R = 4 to 6, 24 lines), over that of plain GRAPPA. Higher is better.
# - **lesion SNR**: how far they stand out from the total error, over that of plain
#   GRAPPA. Higher is better.
# - **points kept**, the price, too: height that comes back of points of one pixel at R =
#   4, ACS 24, the mean of five scans; 0 as zero filling, 1 faithful.
# - **s**: CPU seconds a slice, the mean of these cells, and 320 x 320 with 16 coils.
#
# Plain GRAPPA is automatic GRAPPA that learns from the measured ACS only. A dash: not
# measured. The figures come from `benchmarks/results/ceiling.json`,
# `ceiling_networks.json`, `lesions.json`, `price.json` and `method_cost.json`, read when
# this page was built; the scripts of the same names in `benchmarks/` measure them anew.

# %% tags=["hide-input"]
BESIDE = {
    'plain-grappa': (-8, -14),
    'grappa': (-8, 2),
    'gated': (6, -3),
    'rraki': (-6, -12),
    'spirit': (6, -12),
}  # of a point, in points
SECONDS = {name: each['mean_seconds'] for name, each in errors.items()}
POINTS = {name: each['mean_point_peak'] for name, each in price['4'].items()}

figure, (time, kept) = plt.subplots(
    1, 2, figsize=(9, 4), sharey=True, layout='constrained'
)
for axes, values in ((time, SECONDS), (kept, POINTS)):
    for number, (name, label) in enumerate(LABELS.items()):
        if name in values:
            place = values[name], errors[name]['geomean_nrmse_object']
            axes.plot(*place, 'o', color=f'C{number}')
            text, near = label.strip('`'), BESIDE.get(name, (6, 5))
            side = 'right' if near[0] < 0 else 'left'
            axes.annotate(text, place, near, textcoords='offset points', ha=side)
time.set(title='error and time', xlabel='CPU seconds a slice', xscale='log')
time.set(ylabel='error over plain GRAPPA', xlim=(0.015, 30), ylim=(0.4, 1.25))
kept.set(title='error and price', xlabel='height of single points that comes back')
kept.set(xlim=(0, 1))
plt.show()

# %% [markdown]
# Down is better in both, left in the first, right in the second. On your own scan:
# `raki compare scan.h5 -o report` makes the same for it, with noise maps, if it is
# fully sampled.
