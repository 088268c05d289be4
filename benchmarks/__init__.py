"""Benchmarks, one module for each workload, the peers side by side in one run.

    python -m benchmarks.append          1 KB durable appends: a bare loop, sqlite3, a file for each message
    python -m benchmarks.read            1000 steps read cold: sqlite3
    python -m benchmarks.imports         `import stepwell`: pydantic
    python -m benchmarks.dynamodb        requests, units and dollars of an append and a resume
    python -m benchmarks.dynamodb_cpu    client CPU of an append: a bare `put_item`
    python -m benchmarks.dynamodb_loop   stalls of an event loop that serves 64 sessions

Each prints one table with the target beside the figure and asserts nothing: `--json` for machines, `--quick` for a
first look. Those of DynamoDB bring a table in memory along (local_dynamodb.py). Methods take turns,
so that what else the machine does falls on all of them.
"""
