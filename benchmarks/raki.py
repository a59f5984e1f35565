"""What networks cost: runs network_cost.py beside it, which says more.

    OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 python benchmarks/raki.py --json OUT.json

A script's own folder is where Python looks first for `import raki`, so this file also sends the other benchmarks on to
the package.
"""

import runpy
import sys
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != HERE]
sys.modules.pop('raki', None)

if __name__ == '__main__':
    runpy.run_path(str(HERE / 'network_cost.py'), run_name='__main__')
else:
    import_module('raki')
    sys.path.append(str(HERE))  # for what benchmarks share: the package is known from here on
