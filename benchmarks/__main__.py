"""All benchmarks, one after the other.

python benchmarks [--quick]
"""

import sys

import callbacks
import compiled
import side_by_side
import study
import throughput
import xla_loop

for benchmark in (throughput, xla_loop, compiled, side_by_side, study, callbacks):
    print(f"\n## {benchmark.__name__}.py: {benchmark.__doc__.partition(chr(10))[0]}\n", flush=True)
    benchmark.main(sys.argv[1:])
