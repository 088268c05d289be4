"""What `import stepwell` takes in a fresh process, beside `import pydantic`.

    python -m benchmarks.imports [--quick] [--json]

The start of the interpreter is in every figure. Each statement is run once before, so that its bytecode is compiled;
then they take turns.
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.table import Row, Table, Target, median, options

STATEMENTS = {
    "nothing": "pass",
    "pydantic": "import pydantic; pydantic.BaseModel",
    "stepwell": "import stepwell",
    "stepwell, its client loaded": "import stepwell; stepwell.Client",
}
TIMES_PYDANTIC = 1.3


def run(statement: str) -> float:
    """Milliseconds of a fresh process."""
    began = time.perf_counter_ns()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter_ns() - began) / 1e6


def main() -> None:
    """Run it."""
    asked = options(__doc__)
    rounds = 15 if asked.quick else 40
    for statement in STATEMENTS.values():
        run(statement)
    samples: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(rounds):
        for name, statement in STATEMENTS.items():
            samples[name].append(run(statement))
    base = median(samples["pydantic"])
    rows: list[Row] = []
    for name, times in samples.items():
        ratio = median(times) / base
        target = Target(f"<= {TIMES_PYDANTIC} x pydantic", met=ratio <= TIMES_PYDANTIC)
        rows.append(
            Row(
                name,
                {"median ms": median(times), "least ms": min(times), "x pydantic": ratio},
                target if name == "stepwell" else None,
            )
        )
    Table(f"Imports in a fresh process, {rounds} runs each", ("median ms", "least ms", "x pydantic"), rows).show(
        as_json=asked.as_json
    )


if __name__ == "__main__":
    main()
